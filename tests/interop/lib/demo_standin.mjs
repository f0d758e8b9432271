// What FRAMEGATE_DIRECT puts in the place of `framegate demo`: the demo's page, as it lies in the source, with a
// backend that echoes, chats and has the demo's limit.

import { readFileSync } from 'node:fs';
import { echo, WsBackend } from './wspeer.mjs';

export const PAGE_FILE = new URL('../../../src/demo/page.html', import.meta.url);

export async function startDemoStandIn({ startGateway }) {
  const sendPage = (_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(readFileSync(PAGE_FILE));
  const people = new Set();
  const toAll = (message) => people.forEach((socket) => socket.send(message));
  const count = () => toAll(JSON.stringify({ type: 'people', count: people.size }));

  const backend = await WsBackend.start({
    maxPayload: 1024 * 1024,
    handlers: { '/': sendPage },
    onConnection: (socket, { url }) => {
      if (url === '/echo') return echo(socket);
      people.add(socket);
      count();
      socket.on('message', (data) => toAll(data.toString()));
      socket.on('close', () => {
        people.delete(socket);
        count();
      });
    },
  });
  const gateway = await startGateway({ routes: [{ path: '/*', backend: backend.url }] });
  return { url: gateway.https('/'), wss: gateway.wss(''), ws: backend.url, output: () => '' };
}
