// The live connection: one message a second with the state of the gateway. When it is gone it is sought again, at
// longer and longer intervals, and what the page shows is called old for as long.

import { Problem, get, token } from './api.js';

const SUBPROTOCOL = 'framegate.live';
const SHORTEST_MS = 500;
const LONGEST_MS = 15_000;

/** A gateway that says something every second, and says nothing for so long, is not there. */
const SILENT_MS = 4_000;
const GIVEN_UP_MS = 10_000;

/** What may stand in a subprotocol (RFC 9110 5.6.2). A token with anything else is sent in a header: by no WebSocket. */
const FITS = /^[!#$%&'*+\-.^_`|~\w]+$/;

export class Link {
  #socket;
  #attempt = 0;
  #failures = 0;
  #timer;
  #heard = 0;
  #told = '';

  /** `onStatus(status, seconds)`, `onState({ live, text, retryAt, heard })`, `onToken(wrong)` when one is needed. */
  constructor({ onStatus, onState, onToken }) {
    Object.assign(this, { onStatus, onState, onToken });
    setInterval(() => this.#watch(), 1000);
    document.addEventListener('visibilitychange', () => document.hidden || this.#live() || this.start());
  }

  /** Begins, or begins again at once. */
  async start() {
    this.#end();
    const attempt = this.#attempt;
    this.#tell(false, 'Connecting');
    try {
      // A browser does not tell why a WebSocket was refused; this says whether a token is missing.
      const status = await get('/status');
      if (attempt !== this.#attempt) return;
      this.onStatus(status, null);
      const known = token.get();
      if (known && !FITS.test(known)) await this.#poll(attempt);
      else this.#open(attempt, known);
    } catch (error) {
      if (attempt === this.#attempt) this.#refused(error);
    }
  }

  #open(attempt, known) {
    const url = new URL('/live', location.href);
    url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const socket = new WebSocket(url, known ? [SUBPROTOCOL, `bearer.${known}`] : [SUBPROTOCOL]);
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      if (attempt !== this.#attempt) return;
      const status = JSON.parse(data);
      this.#take(status, status.at / 1000);
    };
    socket.onclose = ({ reason }) => attempt === this.#attempt && this.#lost(reason && `it said ${reason}`);
  }

  /** The same over plain requests, for tokens that no WebSocket can carry. */
  async #poll(attempt) {
    while (attempt === this.#attempt) {
      const status = await get('/status');
      if (attempt !== this.#attempt) return;
      this.#take(status, Date.now() / 1000);
      await new Promise((soon) => setTimeout(soon, 1000));
    }
  }

  #take(status, at) {
    this.#failures = 0;
    this.#heard = Date.now();
    this.#tell(true, 'Live');
    this.onStatus(status, at);
  }

  #refused(error) {
    if (error instanceof Problem && error.status === 401) {
      this.#end();
      this.#tell(false, 'Waiting for a token');
      this.onToken(Boolean(token.get()));
      return;
    }
    this.#lost(error.message);
  }

  #lost(why) {
    this.#end();
    const attempt = this.#attempt;
    const wait = Math.min(LONGEST_MS, SHORTEST_MS * 2 ** this.#failures) * (0.75 + Math.random() / 2);
    this.#failures += 1;
    this.#tell(false, why ? `Not connected: ${why}` : 'Not connected', Date.now() + wait);
    this.#timer = setTimeout(() => attempt === this.#attempt && this.start(), wait);
  }

  #end() {
    this.#attempt += 1;
    clearTimeout(this.#timer);
    this.#socket?.close();
    this.#socket = undefined;
  }

  #live() {
    return Date.now() - this.#heard < SILENT_MS;
  }

  #watch() {
    if (this.#told !== 'Live' || this.#live()) return;
    if (Date.now() - this.#heard > GIVEN_UP_MS) this.#lost('nothing was heard');
    else this.onState({ live: false, text: 'Nothing is heard', heard: this.#heard });
  }

  #tell(live, text, retryAt) {
    this.#told = text;
    this.onState({ live, text, retryAt, heard: this.#heard });
  }
}
