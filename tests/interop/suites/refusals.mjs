// Each policy turns clients away, on a route that refuses by a Close and on one that refuses by a status; and three
// clients tell what their code can read of it: a page in a browser, `ws`, `websockets`.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startBrowser } from '../lib/browser.mjs';
import { listen, start } from '../lib/processes.mjs';
import { echo, openClient, WsBackend } from '../lib/wspeer.mjs';

const PAGE = '<!doctype html><meta charset="utf-8"><title>refusals</title><link rel="icon" href="data:,">';
const PYTHON_CLIENT = fileURLToPath(new URL('../python/refusals.py', import.meta.url));

/**
 * One row a policy: its keys of a route, the status that it refuses with, the Close that says the same. `occupied`: a
 * session is open there. `spent`: a session was open there just now.
 */
const policies = ({ jwks, auth }) => [
  { name: 'address', keys: { access: { deny: ['127.0.0.0/8'] } }, status: 403, code: 3003, reason: 'address' },
  { name: 'seats', keys: { limits: { max_connections: 1 } }, occupied: true, status: 503, code: 1013, reason: 'limit.route' },
  {
    name: 'rate',
    keys: { rate: { handshakes: { per_second: 1, burst: 1 } } },
    spent: true,
    status: 429,
    code: 1008,
    reason: 'rate.handshakes',
  },
  { name: 'no-token', keys: { access: { jwt: jwks } }, status: 401, code: 3000, reason: 'auth.missing' },
  { name: 'bad-token', keys: { access: { jwt: jwks } }, query: '?access_token=a.b.c', status: 403, code: 3003, reason: 'auth' },
  ...[[401, 3000], [403, 3003], [418, 1008]].map(([status, code]) => ({
    name: `auth-${status}`,
    keys: { access: { forward_auth: { url: `${auth}/${status}` } } },
    status,
    code,
    reason: 'auth_refused',
  })),
];

export async function run(context) {
  const { checkGateway, certificates, startGateway, chromium, python, direct, skip } = context;
  if (direct) return skip('refusals', 'needs the gateway');
  const sendPage = (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(PAGE);
  const backend = await WsBackend.start({ onConnection: echo, handlers: { '/page': sendPage } });
  const auth = await listen(createServer(({ url }, response) => response.writeHead(Number(url.slice(1))).end('no')));
  const jwks = join(process.env.INTEROP_TMP, 'refusals.jwks');
  writeFileSync(jwks, JSON.stringify({ keys: [{ kty: 'oct', kid: 'one', alg: 'HS256', k: 'c2VjcmV0'.repeat(8) }] }));
  const rows = policies({ auth: `http://127.0.0.1:${auth}`, jwks: { jwks_file: jwks, from: ['query:access_token'] } });

  const route = (refuse, { name, keys }) => ({ path: `/${refuse}/${name}`, backend: backend.url, refuse, ...keys });
  const gateway = await startGateway({
    routes: [{ backend: backend.url }, ...['close', 'http'].flatMap((refuse) => rows.map((row) => route(refuse, row)))],
  });
  const browser = await startBrowser(chromium);
  const page = await browser.newPage();
  await page.goto(gateway.https('/page'));

  // What each can tell: all of a Close; of a status, nothing in the browser.
  const clients = [
    { client: 'a page', ask: (url) => page.evaluate(knock, { url }), ofStatus: () => ({ code: 1006, reason: '' }) },
    {
      client: 'a page that offers subprotocols',
      ask: (url) => page.evaluate(knock, { url, protocols: ['one', 'two'] }),
      ofStatus: () => ({ code: 1006, reason: '' }),
    },
    { client: 'ws', ask: (url) => knockWithWs(url, certificates.ca), ofStatus: (status) => ({ status }) },
    { client: 'websockets', ask: (url) => knockWithPython(python, certificates.caFile, url), ofStatus: (status) => ({ status }) },
  ];
  for (const row of rows) {
    for (const { client, ask, ofStatus } of clients) {
      for (const refuse of ['close', 'http']) {
        const url = gateway.wss(`/${refuse}/${row.name}${row.query ?? ''}`);
        await checkGateway(`${row.name}: ${client} under refuse = "${refuse}"`, async () => {
          const expected = refuse === 'close' ? { code: row.code, reason: row.reason } : ofStatus(row.status);
          const { seen, asked } = await refusal(row, url, ask, { backend, ca: certificates.ca });
          assert.deepEqual(seen, expected);
          assert.equal(asked, 0, 'the backend was asked');
        });
      }
    }
  }

  await checkGateway('a page from elsewhere reads 1006 all the same', async () => {
    const elsewhere = await browser.newPage();
    await elsewhere.goto('data:text/html,elsewhere');
    assert.deepEqual(await elsewhere.evaluate(knock, { url: gateway.wss('/close/seats') }), { code: 1006, reason: '' });
  });
}

/** What `ask` saw, and how often the backend was asked meanwhile. */
async function refusal({ occupied, spent }, url, ask, { backend, ca }) {
  for (;;) {
    const first = occupied || spent ? await openClient(url, { ca }).catch(() => null) : null;
    if (spent) first?.socket.terminate();
    const before = backend.requests;
    const seen = await ask(url);
    first?.socket.terminate();
    // The session before it may not have ended yet, or the rate allow one more by now: once again.
    if ((occupied && !first) || (spent && seen.admitted)) continue;
    return { seen, asked: backend.requests - before };
  }
}

/** Runs in the page. */
function knock({ url, protocols = [] }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, protocols);
    socket.onopen = () => socket.send('anybody there?');
    socket.onmessage = () => {
      resolve({ admitted: true });
      socket.close();
    };
    socket.onclose = ({ code, reason }) => resolve({ code, reason });
  });
}

async function knockWithWs(url, ca) {
  try {
    const client = await openClient(url, { ca });
    client.socket.send('anybody there?');
    const admitted = client.message().then(
      () => ({ admitted: true }),
      () => client.closed(),
    );
    return await admitted;
  } catch (refused) {
    if (refused.status === undefined) throw refused;
    return { status: refused.status };
  }
}

async function knockWithPython(python, caFile, url) {
  const { exited, output } = start(python, [PYTHON_CLIENT, caFile, url]);
  assert.equal(await exited, 0, output());
  return JSON.parse(output());
}
