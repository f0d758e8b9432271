// Asking the gateway, with the token where it wants one.

const KEY = 'framegate.token';
const PATIENCE_MS = 10_000;

/** Kept by the tab, and gone with it. */
export const token = {
  get: () => sessionStorage.getItem(KEY),
  set: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/** The gateway said no: what is wrong, and what to do about it. `status` 0: nobody answered. */
export class Problem extends Error {
  constructor(status, error, hint) {
    super(hint ? `${error}: ${hint}` : error);
    this.status = status;
    this.error = error;
  }
}

function headers(more) {
  const known = token.get();
  return known ? { ...more, Authorization: `Bearer ${known}` } : more;
}

async function ask(path, options, signal) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: headers(options.headers ?? {}), signal, cache: 'no-store' });
  } catch (error) {
    if (signal?.aborted && signal.reason?.name !== 'TimeoutError') throw error;
    throw new Problem(0, 'the gateway does not answer');
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  throw new Problem(response.status, told.error ?? `the gateway answers ${response.status}`, told.hint);
}

export async function get(path) {
  const response = await ask(path, {}, AbortSignal.timeout(PATIENCE_MS));
  return response.json();
}

export async function post(path, body) {
  const options = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
  const response = await ask(path, options, AbortSignal.timeout(PATIENCE_MS));
  return response.json();
}

/** Hands over each line of an answer that goes on until `signal` is aborted, as the object that it is. */
export async function lines(path, signal, take) {
  const response = await ask(path, {}, signal);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const whole = (rest + value).split('\n');
    rest = whole.pop();
    whole.filter(Boolean).forEach((line) => take(JSON.parse(line)));
  }
}
