// Clients that talk all the time and notice everything: a message that does not come back, comes back twice, late or
// altered, a connection that ends, and how, and an attempt to connect that fails. Whoever is closed comes back at once.

import { setTimeout as pause } from 'node:timers/promises';
import { until, within } from '../../interop/lib/wait.mjs';
import { message } from './echo.mjs';
import { WebSocket } from './packages.mjs';

/** Nothing here takes that long unless something is wrong. */
const PATIENCE_MS = 20_000;
/** Between two attempts where the first one failed. */
const AGAIN_MS = 50;

/** One session, from its connection to its end. */
class Connection {
  sent = 0;
  echoed = 0;
  /** What came that was not the next echo. */
  disorder = null;
  /** `{ code, reason }`, at the end. */
  closed = null;

  constructor(name, era) {
    this.name = name;
    this.era = era;
  }

  get isOpen() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Resolves when the 101 is there, and rejects when it never will be. */
  open(url, options) {
    this.socket = new WebSocket(`${url}${this.name}`, { perMessageDeflate: false, handshakeTimeout: PATIENCE_MS, ...options });
    const opened = new Promise((resolve, reject) => {
      this.socket.once('open', resolve);
      this.socket.once('error', reject);
    });
    this.ended = new Promise((resolve) => {
      this.socket.once('close', (code, reason) => {
        this.closed = { code, reason: reason.toString() };
        resolve(this.closed);
      });
    });
    // What `ws` takes for a breach of the protocol has a code of its own; the rest is the network's, and told by 1006.
    this.socket.on('error', (error) => {
      if (error.code?.startsWith('WS_ERR')) this.disorder ??= `${this.name}: ${error.code}`;
    });
    this.socket.on('message', (data) => {
      const text = data.toString();
      if (text !== message(this.name, this.echoed)) {
        this.disorder ??= `${this.name}: ${text.slice(0, 40)} instead of ${this.echoed}`;
      }
      this.echoed += 1;
    });
    return opened;
  }

  say() {
    if (!this.isOpen) return;
    this.socket.send(message(this.name, this.sent));
    this.sent += 1;
  }

  /** When everything that was said has been answered; false if the connection ended before. */
  async answered() {
    await until(`${this.name} to be answered`, () => this.closed || this.echoed === this.sent, PATIENCE_MS);
    return this.echoed === this.sent;
  }
}

export class Fleet {
  #url;
  #options;
  #echo;
  #timers = [];
  #leaving = false;
  #settled = false;
  #names = 0;
  /** Every connection that there was. */
  connections = [];
  /** Attempts to connect that came to nothing: why, and how often. */
  refused = new Map();
  /** Those that are there to stay: each a function that gives the connection it has now. */
  #members = [];
  #arriving = [];
  /** New clients since the start. */
  visits = 0;
  /** Which of the proxy's processes new connections are made with, the first one being 0. */
  era = 0;

  constructor({ url, ca, echo }) {
    this.#url = url;
    this.#options = { ca };
    this.#echo = echo;
  }

  /** This many clients, each saying something as often as that. Returns when all of them had an answer. */
  async join(count, everyMs) {
    const members = await Promise.all(Array.from({ length: count }, () => this.#enrol(everyMs)));
    await Promise.all(members.map((member) => member().answered()));
  }

  /** New clients from now on, as often as that. Every second one leaves again, in good order; the others stay. */
  receive(everyMs) {
    const timer = setInterval(() => {
      this.visits += 1;
      const stays = this.visits % 2 === 0;
      this.#arriving.push(stays ? this.#enrol(1000) : this.#visit());
    }, everyMs);
    this.#timers.push(timer);
  }

  async #enrol(everyMs) {
    let connection;
    const comeBack = async () => {
      connection = await this.#connect();
      connection?.ended.then(() => this.#leaving || comeBack());
    };
    await comeBack();
    const member = () => connection;
    this.#members.push(member);
    connection?.say();
    // Not all of them at the same moment.
    const talk = () => this.#settled || this.#timers.push(setInterval(() => connection?.say(), everyMs));
    this.#timers.push(setTimeout(talk, Math.random() * everyMs));
    return member;
  }

  async #visit() {
    const connection = await this.#connect();
    if (!connection) return;
    connection.say();
    if (!(await connection.answered())) return;
    connection.isVisit = true;
    connection.socket.close(1000);
    await connection.ended;
  }

  /** A connection, after as many attempts as it takes; none when it is time to leave. */
  async #connect() {
    while (!this.#leaving) {
      const connection = new Connection(`c${(this.#names += 1)}`, this.era);
      try {
        await connection.open(this.#url, this.#options);
        this.connections.push(connection);
        return connection;
      } catch (error) {
        this.wasRefused(error);
        await pause(AGAIN_MS);
      }
    }
    return undefined;
  }

  wasRefused(error) {
    const why = error.code ?? error.message;
    this.refused.set(why, (this.refused.get(why) ?? 0) + 1);
  }

  get size() {
    return this.#members.filter((member) => member()?.isOpen).length;
  }

  /** When everybody is there, or back. */
  async complete() {
    await until('everybody to be back', () => this.size === this.#members.length, PATIENCE_MS);
  }

  /** Says nothing more, waits for what is under way, and counts. The connections stay open. */
  async settle() {
    this.#timers.forEach(clearInterval);
    this.#settled = true;
    await Promise.all(this.#arriving);
    await this.complete();
    await Promise.all(this.#members.map((member) => member().answered().catch(() => {})));
    const ended = this.connections.filter((connection) => connection.closed);
    // What a client had sent may still be on its way to the backend.
    const missing = () => this.connections.reduce((sum, one) => sum + one.sent - this.#echo.arrived(one.name), 0);
    await until('messages under way', () => missing() === 0, 2000).catch(() => {});
    const codes = {};
    // A visitor's own Close is none that it suffered.
    const suffered = ended.filter((one) => !(one.isVisit && one.closed.code === 1000));
    for (const { closed } of suffered) codes[closed.code] = (codes[closed.code] ?? 0) + 1;
    return {
      connections: this.connections.length,
      messages: this.connections.reduce((sum, one) => sum + one.sent, 0),
      disconnects: suffered.length,
      codes,
      /** Said, and never arrived. */
      lost: missing(),
      /** Arrived, and answered too late: the end of the session overtook the answer. */
      overtaken: suffered.reduce((sum, one) => sum + this.#echo.arrived(one.name) - one.echoed, 0),
      /** Never answered on a connection that is still open. */
      unanswered: this.connections.filter((one) => !one.closed).reduce((sum, one) => sum + one.sent - one.echoed, 0),
      disorder: [...this.connections.map((one) => one.disorder).filter(Boolean), ...this.#echo.disorder],
      refused: [...this.refused.values()].reduce((sum, count) => sum + count, 0),
      suffered,
    };
  }

  async leave() {
    this.#leaving = true;
    this.#timers.forEach(clearInterval);
    const open = this.connections.filter((connection) => !connection.closed);
    open.forEach((connection) => connection.socket.close(1000));
    await within(5000, 'leaving', Promise.all(open.map((connection) => connection.ended))).catch(() => {});
    open.forEach((connection) => connection.socket.terminate());
  }
}
