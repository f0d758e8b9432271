// Clients of the gateway: they echo through it, and each remembers how it was closed.

import { WebSocket } from '../../interop/lib/packages.mjs';
import { atEnd } from '../../interop/lib/processes.mjs';

/** So many handshakes at a time. */
const ABREAST = 24;

export class Crowd {
  clients = [];

  /** `path(at)`: where each goes. */
  static async open(gateway, count, path) {
    const crowd = new Crowd();
    atEnd(() => crowd.leave());
    let next = 0;
    const opener = async () => {
      while (next < count) await crowd.#open(gateway.ws(path(next)), `client-${(next += 1)}`);
    };
    await Promise.all(Array.from({ length: Math.min(ABREAST, count) }, opener));
    return crowd;
  }

  #open(url, id) {
    return new Promise((opened, failed) => {
      const socket = new WebSocket(url, { headers: { 'X-Request-Id': id }, perMessageDeflate: false });
      const client = { id, socket, closed: null };
      socket.on('open', () => {
        this.clients.push(client);
        opened();
      });
      socket.on('error', failed);
      socket.on('close', (code, reason) => (client.closed = { code, reason: reason.toString() }));
    });
  }

  /** Everybody says something of `bytes` every `ms`. */
  talk(ms, bytes) {
    const text = 'x'.repeat(bytes);
    const timer = setInterval(() => this.open.forEach(({ socket }) => socket.send(text)), ms);
    atEnd(() => clearInterval(timer));
  }

  get open() {
    return this.clients.filter(({ closed }) => !closed);
  }

  get closed() {
    return this.clients.filter(({ closed }) => closed);
  }

  leave() {
    this.clients.forEach(({ socket }) => socket.terminate());
  }
}
