// One Socket.IO server of several, that know nothing of each other, as without an adapter.

import { createServer } from 'node:http';
import { SocketIoServer } from '../../interop/lib/packages.mjs';

let counts = { served: 0, refused: 0 };
const http = createServer((request, response) => {
  if (request.url !== '/counts') return response.writeHead(404).end();
  response.end(JSON.stringify(counts));
  counts = { served: 0, refused: 0 };
});
const server = new SocketIoServer(http);
server.engine.on('connection_error', () => (counts.refused += 1));
server.on('connection', (socket) => {
  counts.served += 1;
  socket.on('shout', (text, ack) => ack(text.toUpperCase()));
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
