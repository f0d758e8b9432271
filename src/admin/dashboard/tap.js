// The frames of one session as they pass. Payloads are asked for by name: they are what people send each other.

import { lines } from './api.js';
import { $, el, name, say, visible } from './dom.js';
import { bytes, clock, count } from './format.js';

/** The latest; a page that keeps all of a busy session's frames would not live long. */
const KEPT = 200;

const COLUMNS = [['Time'], ['From'], ['Frame'], ['Size', 'number'], ['Payload', 'payload']];

export class Tap {
  #number;
  #watching;
  #waiting = [];
  #seen = 0;
  #missed = 0;
  #scheduled = false;

  constructor() {
    const head = COLUMNS.map(([title, kind]) => el('th', { scope: 'col', class: kind ?? null }, title));
    this.body = $('tap-frames');
    this.body.parentElement.tHead.append(el('tr', {}, ...head));
    $('tap-toggle').addEventListener('click', () => (this.#watching ? this.stop() : this.#watch()));
  }

  prepare(number) {
    this.stop();
    this.#number = number;
    this.body.replaceChildren();
    $('tap-payload').checked = false;
    say($('tap-state'), '');
  }

  stop() {
    this.#watching?.abort();
    this.#watching = undefined;
    this.#label();
  }

  async #watch() {
    const watching = new AbortController();
    this.#watching = watching;
    this.#seen = this.#missed = 0;
    this.body.replaceChildren();
    this.#label();
    say($('tap-state'), 'Nothing has passed yet.');
    const payload = $('tap-payload').checked ? `?payload=${$('tap-size').value}` : '';
    try {
      await lines(`/tap/${this.#number}${payload}`, watching.signal, (line) => this.#take(line));
      if (this.#watching === watching) this.#tell('The stream has ended.');
    } catch (error) {
      if (this.#watching === watching) say($('tap-state'), error.message);
    }
    if (this.#watching === watching) this.stop();
  }

  #label() {
    const on = Boolean(this.#watching);
    say($('tap-toggle'), on ? 'Stop' : 'Watch');
    $('tap-payload').disabled = $('tap-size').disabled = on;
  }

  #take(line) {
    if (line.missed) this.#missed += line.missed;
    if (line.opcode !== undefined) this.#seen += 1;
    this.#waiting.push(line);
    if (this.#waiting.length > KEPT) this.#waiting.shift();
    if (this.#scheduled) return;
    this.#scheduled = true;
    // However many pass, the page is written four times a second.
    setTimeout(() => this.#write(), 250);
  }

  #write() {
    this.#scheduled = false;
    this.body.prepend(...this.#waiting.splice(0).reverse().map(row));
    while (this.body.children.length > KEPT) this.body.lastChild.remove();
    this.#tell('');
  }

  #tell(end) {
    const missed = this.#missed > 0 ? `, ${count(this.#missed)} more passed too fast to be shown` : '';
    say($('tap-state'), `${count(this.#seen)} frames${missed}. ${end}`.trim());
  }
}

function row(line) {
  if (line.opcode === undefined)
    return el('tr', {}, el('td', { colspan: COLUMNS.length, class: 'quiet' }, remark(line)));
  const { t_ms, from, to, opcode, fin, rsv1, size, payload } = line;
  const kind = [opcode, fin === false && 'goes on', rsv1 && 'compressed'].filter(Boolean).join(', ');
  const shown = payload === undefined ? '' : legible(payload, opcode, rsv1);
  return el(
    'tr',
    { class: `from-${from === 'client' ? 'client' : 'backend'}` },
    el('td', { class: 'time' }, time(t_ms)),
    // What the gateway says of its own goes one way or the other.
    el('td', {}, name(from === 'gateway' ? `gateway to ${to}` : from)),
    el('td', {}, name(kind)),
    el('td', { class: 'number' }, bytes(size)),
    el('td', { class: 'payload' }, shown && name(shown)),
  );
}

function remark({ missed, ended }) {
  if (missed) return `${count(missed)} frames passed too fast to be shown`;
  if (!ended) return '';
  const code = ended.code === null ? 'no code' : `code ${ended.code}`;
  return visible(`The session has ended: by ${ended.by}, ${ended.cause}, ${code}.`);
}

const time = (ms) => `${clock(ms / 1000)}.${String(ms % 1000).padStart(3, '0')}`;

/** Text where it is text, and otherwise the bytes. A frame that goes on may carry either. */
function legible(base64, opcode, compressed) {
  const raw = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const bytes = () => [...raw].map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
  if (compressed) return bytes();
  if (opcode === 'text') return new TextDecoder().decode(raw);
  if (opcode === 'close' && raw.length >= 2)
    return `${raw[0] * 256 + raw[1]} ${new TextDecoder().decode(raw.subarray(2))}`;
  if (opcode !== 'continuation') return bytes();
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(raw);
  } catch {
    return bytes();
  }
}
