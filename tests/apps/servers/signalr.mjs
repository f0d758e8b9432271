// A stand-in for one ASP.NET Core server of several, because .NET comes from neither npm nor PyPI nor Debian: of SignalR's
// transport and hub protocols (JSON) as much as the real client needs to negotiate, connect, call and stream.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { WebSocketServer } from '../../interop/lib/packages.mjs';

const END = '\x1e';
const HUB = '/hubs/chat';
const [INVOCATION, ITEM, COMPLETION, STREAM] = [1, 2, 3, 4];

let counts = { served: 0, refused: 0 };
const hubs = new Map();

/** One client's connection, over whatever transport: `receive` takes what came, `#send` gets what goes. */
class Hub {
  #greeted = false;
  #waiting = '';
  #poll;
  #socket;

  attach(socket) {
    this.#socket = socket;
    socket.on('message', (data) => this.receive(data.toString()));
  }

  receive(data) {
    for (const record of data.split(END).filter(Boolean)) {
      const message = JSON.parse(record);
      if (!this.#greeted) this.#greet();
      else if (message.type === INVOCATION) this.#complete(message, message.arguments[0].toUpperCase());
      else if (message.type === STREAM) this.#count(message);
    }
  }

  /** The first poll is answered at once, later ones when there is something to say. */
  poll(response) {
    this.#poll = response;
    if (this.#waiting || !this.polled) this.#answer();
    this.polled = true;
  }

  #greet() {
    this.#greeted = true;
    counts.served += 1;
    this.#send({});
  }

  #complete({ invocationId }, result) {
    this.#send({ type: COMPLETION, invocationId, ...(result === undefined ? {} : { result }) });
  }

  #count({ invocationId, arguments: [end], ...rest }) {
    for (let item = 0; item < end; item += 1) this.#send({ type: ITEM, invocationId, item });
    this.#complete({ invocationId, ...rest });
  }

  #send(message) {
    const record = JSON.stringify(message) + END;
    if (this.#socket) return this.#socket.send(record);
    this.#waiting += record;
    if (this.#poll) this.#answer();
  }

  #answer() {
    this.#poll.end(this.#waiting);
    this.#poll = undefined;
    this.#waiting = '';
  }
}

const hubOf = (url) => hubs.get(url.searchParams.get('id'));

async function serve(request, response) {
  const url = new URL(request.url, 'http://server');
  if (url.pathname === '/counts') {
    response.end(JSON.stringify(counts));
    counts = { served: 0, refused: 0 };
  } else if (url.pathname === `${HUB}/negotiate` && request.method === 'POST') {
    const [connectionId, connectionToken] = [randomUUID(), randomUUID()];
    hubs.set(connectionToken, new Hub());
    const availableTransports = ['WebSockets', 'LongPolling'].map((transport) => ({ transport, transferFormats: ['Text'] }));
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify({ negotiateVersion: 1, connectionId, connectionToken, availableTransports }));
  } else if (!hubOf(url)) {
    counts.refused += 1;
    response.writeHead(404).end('No Connection with that ID');
  } else if (request.method === 'GET') {
    hubOf(url).poll(response);
  } else if (request.method === 'POST') {
    hubOf(url).receive(await text(request));
    response.end();
  } else {
    response.writeHead(202).end();
  }
}

const http = createServer(serve);
const sockets = new WebSocketServer({ noServer: true });
http.on('upgrade', (request, socket, head) => {
  const hub = hubOf(new URL(request.url, 'http://server'));
  if (hub) return sockets.handleUpgrade(request, socket, head, (webSocket) => hub.attach(webSocket));
  counts.refused += 1;
  socket.end('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
