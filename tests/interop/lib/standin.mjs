// What FRAMEGATE_DIRECT puts in the gateway's place: it ends TLS, looks at the first request line to pick a backend,
// and pipes bytes. It exists so that the checks themselves can be tried; it knows nothing of WebSocket.

import { connect } from 'node:net';
import { createServer } from 'node:tls';
import { listen } from './processes.mjs';

export async function startStandIn({ certificates, routes }) {
  const { cert, key } = certificates;
  const server = createServer({ cert, key, ALPNProtocols: ['http/1.1'], allowHalfOpen: true }, (client) => {
    let head = Buffer.alloc(0);
    client.on('error', () => client.destroy());
    client.on('data', function collect(bytes) {
      head = Buffer.concat([head, bytes]);
      if (!head.includes('\r\n')) return;
      client.off('data', collect);
      client.pause();
      const backend = backendFor(head.toString('latin1').split(' ')[1], routes);
      if (!backend) return client.destroy();
      splice(client, head, new URL(backend).port);
    });
  });
  return listen(server);
}

function splice(client, head, port) {
  const backend = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  backend.setNoDelay(true);
  client.setNoDelay(true);
  backend.on('error', () => client.destroy());
  client.on('close', () => backend.destroy());
  backend.on('close', () => client.destroy());
  backend.write(head);
  client.pipe(backend);
  backend.pipe(client);
}

function backendFor(target, routes) {
  const matches = routes.filter(({ path }) => target.startsWith(path.replace(/\*$/, '')));
  return matches.sort((a, b) => b.path.length - a.path.length)[0]?.backend;
}
