// Which charts there are, and what moves them: the span that is shown, the hold, and looking back.

import { Chart } from './chart.js';
import { $, say, visible } from './dom.js';
import { amount, bytes, clock, count, millis } from './format.js';

/** Routes with a line of their own beside the line of all of them. */
const ROUTES_DRAWN = 3;

const rate = (name) => (sample) => sample.rates[name];

function liveSessions(history) {
  const all = { label: 'all', of: (sample) => sample.live };
  const now = Object.entries(history.latest?.byRoute ?? {}).filter(([, live]) => live > 0);
  if (now.length < 2) return [all];
  const largest = now.sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1)).slice(0, ROUTES_DRAWN);
  const one = ([route]) => ({ label: visible(route), of: (sample) => sample.byRoute[route] });
  return [all, ...largest.map(one)];
}

const lines =
  (...series) =>
  () =>
    series.map(([label, of]) => ({ label, of }));

const CHARTS = [
  { title: 'Live sessions', unit: 'by route', series: liveSessions, show: count, least: 5 },
  {
    title: 'Opens and ends',
    unit: 'per second',
    series: lines(['opened', rate('opened')], ['ended', rate('closed')], ['refused', rate('turnedAway')]),
    show: amount,
  },
  {
    title: 'Messages',
    unit: 'per second',
    series: lines(['from clients', rate('messagesFromClient')], ['from backends', rate('messagesFromBackend')]),
    show: amount,
    least: 10,
  },
  {
    title: 'Payload',
    unit: 'per second',
    series: lines(['from clients', rate('bytesFromClient')], ['from backends', rate('bytesFromBackend')]),
    show: bytes,
    base: 1024,
    least: 1024,
  },
  {
    title: 'Ping, clients',
    unit: 'round trip, last minute',
    series: lines(['median', ({ rtt }) => rtt.client.p50_ms], ['p99', ({ rtt }) => rtt.client.p99_ms]),
    show: millis,
  },
  {
    title: 'Ping, backends',
    unit: 'round trip, last minute',
    series: lines(['median', ({ rtt }) => rtt.backend.p50_ms], ['p99', ({ rtt }) => rtt.backend.p99_ms]),
    show: millis,
  },
  {
    title: 'Waiting to be taken',
    unit: 'buffered',
    series: lines(['in all sessions', (sample) => sample.buffered]),
    show: bytes,
    base: 1024,
    least: 1024,
  },
  {
    title: 'Held back by rates',
    unit: 'per second',
    series: lines(['in all sessions', rate('throttled')]),
    show: millis,
    least: 10,
  },
];

export class Charts {
  #history;
  #charts = CHARTS.map((about) => new Chart(about));
  #span = 300;
  #heldAt = null;
  #live = false;

  constructor(history) {
    this.#history = history;
    $('charts').append(...this.#charts.map(({ node }) => node));
    $('span').addEventListener('change', ({ target }) => this.#show(Number(target.value)));
    $('hold').addEventListener('click', () => this.#hold());
    $('back').addEventListener('input', () => this.draw());
    for (const { plot } of this.#charts) {
      plot.addEventListener('pointermove', (event) => this.#lookAt(plot, event.clientX));
      plot.addEventListener('pointerleave', ({ pointerType }) => pointerType === 'mouse' && this.#lookBack(0));
    }
  }

  get held() {
    return this.#heldAt !== null;
  }

  get span() {
    return this.#span;
  }

  /** `live`: what came last is what is so now. */
  draw(live = this.#live) {
    this.#live = live;
    const to = this.#heldAt ?? this.#history.latest?.at ?? Date.now() / 1000;
    const back = Number($('back').value);
    const at = to + back;
    const end = (live && !this.held) || !this.#history.latest ? 'now' : clock(to);
    say($('back-at'), back === 0 ? end : `${-back} s ${end === 'now' ? 'ago' : 'before'}, ${clock(at)}`);
    for (const chart of this.#charts)
      chart.draw(this.#history, { from: to - this.#span, to, at, span: this.#span, end });
  }

  #show(seconds) {
    this.#span = seconds;
    $('back').min = -seconds;
    this.draw();
  }

  #hold() {
    this.#heldAt = this.held ? null : (this.#history.latest?.at ?? null);
    $('hold').setAttribute('aria-pressed', String(this.held));
    this.draw();
  }

  #lookAt(plot, clientX) {
    const { left, width } = plot.getBoundingClientRect();
    const part = Math.min(1, Math.max(0, (clientX - left) / width));
    this.#lookBack(Math.round((part - 1) * this.#span));
  }

  #lookBack(seconds) {
    if (Number($('back').value) === seconds) return;
    $('back').value = seconds;
    this.draw();
  }
}
