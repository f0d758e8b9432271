// Both ends of a WebSocket made with the `ws` package, in one process: a check sends at one end and looks at the
// other, so it sees what arrived and not only what was echoed.

import { once, on } from 'node:events';
import { createServer } from 'node:http';
import { WebSocket, WebSocketServer } from './packages.mjs';
import { listen } from './processes.mjs';
import { deferred } from './wait.mjs';

/** One end. Events are collected from the start: nothing is lost when it comes before a check asks for it. */
export class Peer {
  #messages;
  #pongs;
  #closed;

  constructor(socket, request) {
    this.socket = socket;
    this.request = request;
    this.#messages = on(socket, 'message', { close: ['close'] });
    this.#pongs = on(socket, 'pong', { close: ['close'] });
    this.#closed = once(socket, 'close');
    this.#closed.catch(() => {}); // An error is reported by whoever waits for it; nobody may.
  }

  /** The next message: a string when it came as text, a Buffer when it came as binary. */
  async message() {
    const { value, done } = await this.#messages.next();
    if (done) throw new Error('the connection was closed instead of a message');
    const [data, isBinary] = value;
    return isBinary ? data : data.toString();
  }

  async pong() {
    const { value, done } = await this.#pongs.next();
    if (done) throw new Error('the connection was closed instead of a pong');
    return value[0].toString();
  }

  /** How the other end closed. 1005 stands for a Close without a code, 1006 for no Close at all. */
  async closed() {
    const [code, reason] = await this.#closed;
    return { code, reason: reason.toString() };
  }
}

/** An `onConnection` for WsBackend. */
export const echo = (socket) => socket.on('message', (data, binary) => socket.send(data, { binary }));

/** A `ws` server on a free port, which hands out its connections by the path that they came with. */
export class WsBackend {
  requests = 0;
  #waiting = new Map();

  static async start({ onConnection, setCookies = [], handlers = {}, ...options } = {}) {
    const backend = new WsBackend();
    const http = createServer((request, response) => {
      backend.requests += 1;
      const handler = handlers[pathOf(request)];
      if (handler) handler(request, response);
      else response.writeHead(404).end();
    });
    const wss = new WebSocketServer({ noServer: true, ...options });
    wss.on('headers', (lines) => setCookies.forEach((cookie) => lines.push(`Set-Cookie: ${cookie}`)));
    if (onConnection) wss.on('connection', onConnection);
    http.on('upgrade', (request, socket, head) => {
      backend.requests += 1;
      const handler = handlers[pathOf(request)];
      if (handler) handler(request, socket);
      else {
        wss.handleUpgrade(request, socket, head, (ws) => {
          wss.emit('connection', ws, request);
          backend.#slot(pathOf(request)).resolve(new Peer(ws, request));
        });
      }
    });
    backend.port = await listen(http);
    backend.url = `ws://127.0.0.1:${backend.port}`;
    return backend;
  }

  /** The server's end of the connection that came, or will come, with this path. */
  peer(path) {
    return this.#slot(path).promise;
  }

  #slot(path) {
    if (!this.#waiting.has(path)) this.#waiting.set(path, deferred());
    return this.#waiting.get(path);
  }
}

const pathOf = (request) => request.url.split('?')[0];

/** Opens a client and waits for its 101. `response` is that 101; a refusal rejects with `status` and `response`. */
export async function openClient(url, { protocols = [], ...options } = {}) {
  const socket = new WebSocket(url, protocols, options);
  const client = new Peer(socket);
  await new Promise((resolve, reject) => {
    socket.once('upgrade', (response) => (client.response = response));
    socket.once('unexpected-response', (_, response) => {
      reject(Object.assign(new Error(`refused with ${response.statusCode}`), { status: response.statusCode, response }));
    });
    socket.once('error', reject);
    socket.once('open', () => {
      socket.off('error', reject);
      resolve();
    });
  });
  return client;
}
