// One session, everything about it, for as long as it lives.

import { get } from './api.js';
import { carried, messages, micros } from './columns.js';
import { $, el, name, say } from './dom.js';
import { bytes, count, duration, millis, moment } from './format.js';
import { askToKickOne } from './kick.js';
import { Tap } from './tap.js';

const EVERY_MS = 1000;

const FACTS = [
  ['Request id', (one) => one.id],
  ['Route', (one) => one.route],
  ['Listener', (one) => one.listener],
  ['Backend', (one) => one.backend],
  ['Server', (one) => one.server],
  ['Client', (one) => one.client ?? 'unknown'],
  ['Subprotocol', (one) => one.subprotocol ?? 'none'],
  ['Opened', (one) => moment(one.opened)],
  ['Age', (one) => duration(one.age_ms / 1000)],
  ['Last ping, client', (one) => micros(one.rtt_us.client)],
  ['Last ping, backend', (one) => micros(one.rtt_us.backend)],
  ['Waiting to be taken', (one) => bytes(one.waiting_bytes)],
  ['Held back by rates', (one) => millis(one.throttled_ms)],
];

const TALLIES = [
  ['Messages', (tally) => count(messages(tally))],
  ['of these, binary', (tally) => count(tally.binary_messages)],
  ['Payload', (tally) => bytes(carried(tally))],
  ['of this, binary', (tally) => bytes(tally.binary_bytes)],
  ['Pings', (tally) => count(tally.pings)],
  ['Pongs', (tally) => count(tally.pongs)],
];

export class Detail {
  #session;
  #timer;
  #facts = FACTS.map(() => el('dd'));
  #tallies;
  #tap = new Tap();

  constructor({ onKicked }) {
    $('detail-facts').append(...FACTS.flatMap(([title], at) => [el('dt', {}, title), this.#facts[at]]));
    this.#tallies = TALLIES.map(([title]) =>
      el('tr', {}, el('th', { scope: 'row' }, title), el('td', { class: 'number' }), el('td', { class: 'number' })),
    );
    $('detail-tallies').append(...this.#tallies);
    const head = ['', 'the client', 'the backend'].map((title) =>
      el('th', { scope: 'col', class: title ? 'number' : null }, title),
    );
    $('detail-tallies').parentElement.tHead.append(el('tr', {}, ...head));
    $('detail-close').addEventListener('click', () => $('detail').close());
    $('detail-kick').addEventListener('click', () => askToKickOne(this.#session, onKicked));
    $('detail').addEventListener('close', () => this.#end());
  }

  open(session) {
    say($('detail-title'), `Session ${session.number}`);
    say($('detail-state'), '');
    $('detail-kick').hidden = false;
    this.#show(session);
    this.#tap.prepare(session.number);
    $('detail').showModal();
    $('detail-close').focus();
    this.#follow();
  }

  #end() {
    clearTimeout(this.#timer);
    this.#session = undefined;
    this.#tap.stop();
  }

  async #follow() {
    const { number } = this.#session;
    const still = () => this.#session?.number === number;
    try {
      const session = await get(`/sessions/${number}`);
      if (!still()) return;
      say($('detail-state'), '');
      this.#show(session);
    } catch (error) {
      if (!still()) return;
      const over = error.status === 404;
      say($('detail-state'), over ? 'This session is over. What is below is how it was last seen.' : error.message);
      $('detail-kick').hidden = over;
      if (over) return;
    }
    this.#timer = setTimeout(() => this.#follow(), EVERY_MS);
  }

  #show(session) {
    this.#session = session;
    FACTS.forEach(([, of], at) => {
      const text = of(session);
      if (this.#facts[at].textContent !== text) this.#facts[at].replaceChildren(name(text));
    });
    TALLIES.forEach(([, of], at) => {
      const [, client, backend] = this.#tallies[at].cells;
      say(client, of(session.from_client));
      say(backend, of(session.from_backend));
    });
    const { ending } = session;
    if (ending)
      say(
        $('detail-state'),
        `Told to go: ${ending.cause}, code ${ending.code}${ending.in_ms > 0 ? `, in ${millis(ending.in_ms)}` : ''}.`,
      );
  }
}
