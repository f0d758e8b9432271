// The backend: echoes, and keeps a book of what has arrived on each connection, and in which order.

import { createServer } from 'node:http';
import { atEnd, listen } from '../../interop/lib/processes.mjs';
import { WebSocketServer } from './packages.mjs';

/** The text of a connection's message of this number. */
export const message = (connection, number) => `${connection} ${number} ${'x'.repeat(64)}`;

export class Echo {
  /** By connection, which is named in the path: `/a/NAME`. */
  #arrived = new Map();
  /** Messages that were not the next ones of their connection: lost, doubled, reordered or altered ones before them. */
  disorder = [];

  static async start() {
    const echo = new Echo();
    const http = createServer((_, response) => response.writeHead(404).end());
    const server = new WebSocketServer({ server: http, perMessageDeflate: false });
    server.on('connection', (socket, request) => echo.#meet(socket, request.url.split('/').pop()));
    atEnd(() => server.clients.forEach((socket) => socket.terminate()));
    echo.port = await listen(http);
    return echo;
  }

  #meet(socket, name) {
    this.#arrived.set(name, 0);
    socket.on('error', () => {}); // Its end is told by 'close', and the client has its own opinion of it.
    socket.on('message', (data) => {
      const number = this.#arrived.get(name);
      this.#arrived.set(name, number + 1);
      const text = data.toString();
      if (text !== message(name, number)) this.disorder.push(`${name}: ${text.slice(0, 40)} instead of ${number}`);
      socket.send(text);
    });
  }

  arrived(name) {
    return this.#arrived.get(name) ?? 0;
  }
}
