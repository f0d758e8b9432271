// A gateway that is none: it serves the page as it lies in the source and speaks the admin address's JSON, with figures
// that move. For looking at the page while working on it, and for the checks of how it takes a bad day.
//
//   INTEROP_NODE_DEPS=DIR node tests/dashboard/lib/standin.mjs PORT [--hostile]

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { WebSocketServer } from '../../interop/lib/packages.mjs';
import { HOSTILE, Pretence } from './pretence.mjs';

const PAGE = new URL('../../../src/admin/dashboard/', import.meta.url);
const TYPES = { html: 'text/html', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' };

/** The gateway's own, so that the page is held to the same here. */
const POLICY = /POLICY: &str = "([^"]+)"/
  .exec(readFileSync(new URL('../../../src/admin/page.rs', import.meta.url), 'utf8'))[1]
  .replace(/\\\n */g, '');

export class StandIn {
  #past = [];
  #sockets = new Set();

  /** `past` seconds are told at once to whoever connects. */
  constructor({ count = 800, hostile = false, past = 0 } = {}) {
    this.gateway = new Pretence({ count, hostile });
    for (let second = past; second > 0; second -= 1) {
      this.gateway.move();
      this.#past.push(JSON.stringify({ ...this.gateway.status(), at: Date.now() - second * 1000 }));
    }
  }

  async listen(port = 0) {
    this.server = createServer((request, response) => this.#answer(request, response));
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'framegate.live' });
    this.server.on('upgrade', (request, socket, head) => {
      sockets.handleUpgrade(request, socket, head, (live) => {
        this.#sockets.add(live);
        live.on('close', () => this.#sockets.delete(live));
        [...this.#past, this.#live()].forEach((text) => live.send(text));
      });
    });
    await new Promise((listening) => this.server.listen(port, '127.0.0.1', listening));
    this.timer = setInterval(() => {
      this.gateway.move();
      const text = this.#live();
      this.#sockets.forEach((socket) => socket.send(text));
    }, 1000);
    this.url = `http://127.0.0.1:${this.server.address().port}/`;
    return this;
  }

  close() {
    clearInterval(this.timer);
    this.#sockets.forEach((socket) => socket.terminate());
    this.server.closeAllConnections();
    return new Promise((closed) => this.server.close(closed));
  }

  #live() {
    return JSON.stringify({ ...this.gateway.status(), at: Date.now() });
  }

  #show({ since, rate, ...session }) {
    const age = Date.now() - since;
    return { ...session, opened: Math.floor(since / 1000), age_ms: age };
  }

  async #answer(request, response) {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    const send = (status, value) =>
      response.writeHead(status, { 'Content-Type': 'application/json' }).end(JSON.stringify(value));
    if (pathname === '/' || pathname.startsWith('/dashboard/')) return this.#file(pathname, response);
    const [, what, id] = pathname.split('/');
    if (what === 'status') return send(200, this.gateway.status());
    if (what === 'kick') return this.#kick(request, send);
    if (what === 'tap') return this.#tap(Number(id), searchParams, response, send);
    if (what !== 'sessions') return send(404, { error: 'there is nothing at this path' });
    if (!id) return this.#page(searchParams, send);
    const session = this.gateway.sessions.get(Number(id));
    return session
      ? send(200, this.#show(session))
      : send(404, { error: 'there is no such session', hint: 'it may have ended' });
  }

  #file(pathname, response) {
    const name = pathname === '/' ? 'page.html' : pathname.slice('/dashboard/'.length);
    try {
      const content = readFileSync(new URL(name, PAGE));
      const type = `${TYPES[name.split('.').at(-1)]}; charset=utf-8`;
      response
        .writeHead(200, {
          'Content-Type': type,
          'Content-Security-Policy': POLICY,
          'X-Content-Type-Options': 'nosniff',
        })
        .end(content);
    } catch {
      response.writeHead(404).end();
    }
  }

  #fits(words) {
    const age = /^(\d+)(s|m|h)?$/.exec(words.min_age ?? '0');
    if (!age) return null;
    const least = Number(age[1]) * { s: 1e3, m: 6e4, h: 36e5 }[age[2] ?? 's'];
    return (one) =>
      (!words.route || one.route === words.route) &&
      (!words.server || one.server === words.server) &&
      (!words.address || one.client === words.address) &&
      Date.now() - one.since >= least;
  }

  #page(query, send) {
    const { limit, after, ...words } = Object.fromEntries(query);
    const fits = this.#fits(words);
    if (!fits) return send(400, { error: 'min_age: this is not a duration', hint: 'such as "30s" or "5m"' });
    const all = [...this.gateway.sessions.values()].filter(fits);
    const from = all.findIndex(({ number }) => number > Number(after ?? 0));
    const shown = from < 0 ? [] : all.slice(from, from + Number(limit));
    const more = from >= 0 && from + shown.length < all.length;
    send(200, {
      total: all.length,
      next: more ? shown.at(-1).number : null,
      sessions: shown.map((one) => this.#show(one)),
    });
  }

  async #kick(request, send) {
    let text = '';
    for await (const chunk of request) text += chunk;
    const { code, over, id, ...words } = JSON.parse(text);
    const chosen = id
      ? [this.gateway.sessions.get(id)].filter(Boolean)
      : [...this.gateway.sessions.values()].filter(this.#fits(words));
    if (id && chosen.length === 0) return send(404, { error: 'there is no such session', hint: 'it may have ended' });
    for (const session of chosen) {
      session.ending = { cause: 'kick', code, in_ms: 1500 };
      setTimeout(() => this.gateway.end(session.number, 'kick'), 1500);
    }
    send(200, { kicked: chosen.length });
  }

  #tap(number, query, response, send) {
    if (!this.gateway.sessions.has(number)) return send(404, { error: 'there is no such session' });
    response.writeHead(200, { 'Content-Type': 'application/x-ndjson' });
    const most = Number(query.get('payload') ?? 0);
    const timer = setInterval(() => {
      const from = Math.random() < 0.4 ? 'client' : 'backend';
      const text = JSON.stringify({ type: 'next', user: 'Zoë', html: HOSTILE[0], n: Math.random() });
      const frame = {
        t_ms: Date.now(),
        from,
        opcode: Math.random() < 0.1 ? 'ping' : 'text',
        fin: true,
        rsv1: false,
        size: text.length,
      };
      if (most) frame.payload = Buffer.from(text).subarray(0, most).toString('base64');
      if (Math.random() < 0.02) response.write(`${JSON.stringify({ missed: 14 })}\n`);
      response.write(`${JSON.stringify(frame)}\n`);
    }, 120);
    response.on('close', () => clearInterval(timer));
  }
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  const hostile = process.argv.includes('--hostile');
  const { url } = await new StandIn({ count: 4800, hostile, past: 290 }).listen(Number(process.argv[2] ?? 9900));
  console.log(url);
}
