// Numbers as people read them. What is not known is a dash.

const WHOLE = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const UNKNOWN = '–';

const known = (value) => typeof value === 'number' && Number.isFinite(value);

/** Three digits that count. */
function digits(value) {
  return value === 0 ? '0' : value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}

export function count(value) {
  return known(value) ? WHOLE.format(value) : UNKNOWN;
}

/** Of what may be less than one, or a lot: 0.2, 14, 1,204, 56.1k, 3.2M. */
export function amount(value) {
  if (!known(value)) return UNKNOWN;
  if (value >= 999_500) return `${digits(value / 1e6)}M`;
  if (value >= 9_999.5) return `${digits(value / 1e3)}k`;
  return value > 0 && value < 9.95 ? value.toFixed(1) : WHOLE.format(value);
}

const BYTES = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytes(value) {
  if (!known(value)) return UNKNOWN;
  let power = 0;
  while (value >= 999.5 && power < BYTES.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${power === 0 ? Math.round(value) : digits(value)} ${BYTES[power]}`;
}

export function millis(value) {
  if (!known(value)) return UNKNOWN;
  if (value >= 999.5) return `${digits(value / 1000)} s`;
  return `${digits(value)} ms`;
}

const two = (value) => String(value).padStart(2, '0');

/** The two largest units: `12 s`, `4 min 05 s`, `3 h 20 min`, `12 d 4 h`. */
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const all = Math.max(0, Math.floor(seconds));
  if (all < 60) return `${all} s`;
  if (all < 3600) return `${Math.floor(all / 60)} min ${two(all % 60)} s`;
  if (all < 86_400) return `${Math.floor(all / 3600)} h ${two(Math.floor(all / 60) % 60)} min`;
  return `${Math.floor(all / 86_400)} d ${Math.floor(all / 3600) % 24} h`;
}

export function ago(seconds) {
  return seconds < 2 ? 'just now' : `${duration(seconds)} ago`;
}

const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });

export function clock(unixSeconds) {
  return known(unixSeconds) ? CLOCK.format(unixSeconds * 1000) : UNKNOWN;
}

/** The day as everybody reads it the same. */
export function day(unixSeconds) {
  return known(unixSeconds) ? new Date(unixSeconds * 1000).toISOString().slice(0, 10) : UNKNOWN;
}

export function moment(unixSeconds) {
  return known(unixSeconds) ? `${day(unixSeconds)} ${clock(unixSeconds)}` : UNKNOWN;
}
