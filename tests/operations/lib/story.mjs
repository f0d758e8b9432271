// What happens to a proxy while its clients talk: the same for each, done the way its operator does it.

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'node:tls';
import { until, within } from '../../interop/lib/wait.mjs';
import { Echo } from './echo.mjs';
import { Fleet } from './fleet.mjs';
import { WebSocket } from './packages.mjs';

const tmp = process.env.INTEROP_TMP;

export const CLIENTS = 200;
export const EVERY_MS = 100;
/** A new client comes as often as this; every second one stays. */
export const VISITOR_EVERY_MS = 250;
export const TURNS = 50;
/** So many of the turns have a broken file, and so many another certificate. */
export const BROKEN = 10;
export const PAIRS = 10;
/** Turns, one of each kind among them. */
const WARM_UP = 6;
/** What a turn takes, if the machine can keep up: the same time for each proxy, whoever reloads faster. */
const TURN_MS = 600;
/** Between two changes of a turn. */
const BETWEEN_MS = 60;
const PATIENCE_MS = 20_000;

const pairFile = (number) => readFileSync(join(tmp, `pair-${number}.pem`), 'utf8');

/** What the proxy is made of at some moment. */
const look = (proxy) => ({ pids: proxy.pids(), memory: proxy.memory() });

export class Story {
  /** Looks at the proxy, in order, by name. */
  looks = {};
  /** What an operator would call a failure of the change itself. */
  failures = [];
  /** How long each kind of change took to come about, in milliseconds. */
  spent = new Map();
  /** Of sessions on B. */
  #leaving = [];

  constructor(proxy, echo, ca) {
    Object.assign(this, { proxy, ca });
    this.fleet = new Fleet({ url: `wss://localhost:${proxy.port}/a/`, ca, echo });
  }

  static async prepare(Proxy, options, ca) {
    const echo = await Echo.start();
    const proxy = await Proxy.start({ backend: echo.port, routes: ['a'], ...options });
    return new Story(proxy, echo, ca);
  }

  async run() {
    const { fleet, proxy } = this;
    await fleet.join(CLIENTS, EVERY_MS);
    fleet.receive(VISITOR_EVERY_MS);
    const began = performance.now();
    for (let turn = 1; turn <= TURNS; turn += 1) {
      // What is there from a process's first changes on is not growth.
      if (turn === WARM_UP) this.looks.early = look(proxy);
      if (turn === TURNS / 2) await this.#handOver();
      if (turn === TURNS / 2 + WARM_UP) this.looks.afterHandOver = look(proxy);
      await this.#turn(turn);
      await pause(Math.max(0, began + turn * TURN_MS - performance.now()));
    }
    const seconds = (performance.now() - began) / 1000;
    await Promise.all(this.#leaving);
    this.looks.end = look(proxy);
    const figures = await fleet.settle();
    return { ...figures, seconds, visits: fleet.visits, looks: this.looks, failures: this.failures, spent: this.spent };
  }

  /** Route B comes, is used, and goes again. */
  async #turn(turn) {
    const { proxy } = this;
    let client;
    await this.#change('route B is added', async () => {
      await proxy.withRoutes('a', 'b');
      client = await this.#answer('/b/', 101);
      client.ended = once(client, 'close');
    });
    if (turn % (TURNS / PAIRS) === 0) {
      const pair = turn / (TURNS / PAIRS);
      await this.#change('a certificate is swapped', async () => {
        await proxy.swapCertificate(pair);
        await until(`certificate ${pair} to be served`, () => this.#serves(pair), PATIENCE_MS);
      });
    }
    if (turn % (TURNS / BROKEN) === 0) {
      await this.#change('a file is broken', () => proxy.breakConfiguration('a', 'b'));
    }
    await this.#change('route B is removed', async () => {
      await proxy.withRoutes('a');
      await this.#answer('/b/', 404);
    });
    this.#leaving.push(this.#farewell(client));
  }

  async #change(what, act) {
    const began = performance.now();
    try {
      await act();
    } catch (error) {
      this.failures.push(`${what}: ${error.message}`);
    }
    this.spent.set(what, [...(this.spent.get(what) ?? []), performance.now() - began]);
    await pause(BETWEEN_MS);
  }

  /** Asks until that is what it gets: some tell when a change has come about, others do not. */
  async #answer(path, wanted) {
    let client;
    await until(`${wanted} on ${path}`, async () => {
      const { status, socket } = await this.#ask(path);
      client = socket;
      if (status !== wanted) socket.terminate();
      return status === wanted;
    }, PATIENCE_MS);
    return client;
  }

  /** What a handshake gets, and the socket that got it. */
  #ask(path) {
    const socket = new WebSocket(`wss://localhost:${this.proxy.port}${path}b`, { ca: this.ca, perMessageDeflate: false });
    return new Promise((resolve) => {
      // Giving up what was refused is an error to `ws` as well.
      let isKnown = false;
      const tell = (status) => {
        isKnown = true;
        resolve({ status, socket });
      };
      socket.once('open', () => tell(101));
      socket.once('unexpected-response', (_, response) => tell(response.statusCode));
      socket.on('error', (error) => isKnown || tell(this.fleet.wasRefused(error)));
    });
  }

  /** framegate tells the session that its route is gone, in its time; elsewhere it stays, and its client leaves. */
  async #farewell(client) {
    if (!this.proxy.endsRemovedRoutes) return client.terminate();
    const [code, reason] = await within(PATIENCE_MS, 'the end of a session on B', client.ended);
    if (code !== 1012 || `${reason}` !== 'reload') this.failures.push(`a session on B ended with ${code} ${reason}`);
    return undefined;
  }

  async #serves(pair) {
    const socket = connect({ port: this.proxy.port, host: '127.0.0.1', servername: 'localhost', ca: this.ca });
    try {
      await once(socket, 'secureConnect');
      return socket.getPeerX509Certificate().fingerprint256 === new X509Certificate(pairFile(pair)).fingerprint256;
    } finally {
      socket.destroy();
    }
  }

  async #handOver() {
    const { fleet, proxy } = this;
    this.looks.beforeHandOver = look(proxy);
    await this.#change('the program is changed', async () => {
      const { gone } = await proxy.handOver();
      await gone;
      // Those that connect from here on are the new process's, give or take those under way.
      fleet.era += 1;
      await fleet.complete();
    });
  }

  async end() {
    await this.fleet.leave();
    await this.proxy.stop();
  }
}
