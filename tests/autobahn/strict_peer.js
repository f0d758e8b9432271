// The strict peer: Node's `ws`, as an echo server or as a testee of the fuzzing server.
//   node strict_peer.js server PORT
//   node strict_peer.js client URL
'use strict';

const { WebSocket, WebSocketServer } = require('ws');

// Compression is not under test here, and the largest case sends 16 MiB.
const options = { perMessageDeflate: false, maxPayload: 32 * 1024 * 1024 };

function echo(socket) {
  socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
  socket.on('error', () => {}); // a refused frame; `ws` closes by itself
}

function server(port) {
  new WebSocketServer({ host: '127.0.0.1', port, ...options }).on('connection', echo);
}

async function client(url) {
  const visit = (path, use) =>
    new Promise((resolve) => {
      const socket = new WebSocket(url + path, options);
      let answer;
      if (use === 'echo') {
        echo(socket);
      } else {
        socket.on('message', (data) => (answer = data.toString()));
        socket.on('error', (error) => console.error(path, error.message));
      }
      socket.on('close', () => resolve(answer));
    });

  const cases = Number(await visit('/getCaseCount', 'ask'));
  if (!cases) process.exit(1);
  for (let number = 1; number <= cases; number++) {
    await visit(`/runCase?case=${number}&agent=node-ws`, 'echo');
  }
  await visit('/updateReports?agent=node-ws', 'ask');
}

const [role, where] = process.argv.slice(2);
if (role === 'server') server(Number(where));
else if (role === 'client') client(where.replace(/\/$/, ''));
else {
  console.error('usage: strict_peer.js server PORT | client URL');
  process.exit(2);
}
