// Socket.IO as it comes: long polling first, then the upgrade to WebSocket. That takes plain HTTP requests and a
// WebSocket on the same route, and its clients leave the polling requests of one session on several connections.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { socketIoClient, SocketIoServer } from '../lib/packages.mjs';
import { atEnd, listen } from '../lib/processes.mjs';
import { until } from '../lib/wait.mjs';

const DEFAULT_TRANSPORTS = undefined;

export async function run({ check, startGateway, certificates }) {
  const http = createServer();
  const server = new SocketIoServer(http);
  server.on('connection', serve);
  const port = await listen(http);
  atEnd(() => server.disconnectSockets(true));
  const gateway = await startGateway({ routes: [{ path: '/socket.io/*', backend: `ws://127.0.0.1:${port}` }] });

  /** A client of its own connection, and what its transports were. */
  async function connected(transports = DEFAULT_TRANSPORTS) {
    const client = socketIoClient(gateway.https(''), { ca: certificates.ca, forceNew: true, reconnection: false, transports });
    atEnd(() => client.disconnect());
    const seen = [];
    // On 'open' the engine has its session, and the probe for an upgrade is still to come.
    client.io.on('open', () => {
      seen.push(client.io.engine.transport.name);
      client.io.engine.on('upgrade', (transport) => seen.push(transport.name));
    });
    await new Promise((resolve, reject) => client.once('connect', resolve).once('connect_error', reject));
    return { client, seen };
  }

  async function upgraded() {
    const { client, seen } = await connected();
    await until('the upgrade to websocket', () => seen.length === 2);
    return { client, seen };
  }

  await check('connects by polling, then upgrades to websocket', async () => {
    const { client, seen } = await upgraded();
    assert.deepEqual(seen, ['polling', 'websocket']);
    const there = server.sockets.sockets.get(client.id);
    // The client's last word on it may still be under way.
    await until('the upgrade at the server', () => there.conn.transport.name === 'websocket');
    assert.equal(there.handshake.headers.host, gateway.authority());
  });

  for (const transports of [['polling'], ['websocket']]) {
    await check(`works with ${transports} alone`, async () => {
      const { client, seen } = await connected(transports);
      assert.equal(await client.emitWithAck('shout', 'hello'), 'HELLO');
      const bytes = randomBytes(100_000);
      assert.deepEqual(await client.emitWithAck('reverse', bytes), reversed(bytes));
      assert.deepEqual(seen, transports);
    });
  }

  const [{ client: ann }, { client: bob }] = [await upgraded(), await upgraded()];

  await check('acknowledgements', async () => {
    assert.equal(await ann.emitWithAck('shout', 'grüße'), 'GRÜSSE');
    const answers = await Promise.all(Array.from({ length: 100 }, (_, n) => bob.emitWithAck('shout', `n${n}`)));
    assert.deepEqual(answers, Array.from({ length: 100 }, (_, n) => `N${n}`));
  });

  await check('a binary payload', async () => {
    const bytes = randomBytes(500_000);
    assert.deepEqual(await ann.emitWithAck('reverse', bytes), reversed(bytes));
  });

  await check('rooms: who is inside hears it, who is outside does not', async () => {
    await ann.emitWithAck('enter', 'kitchen');
    const [atAnn, atBob] = [heardBy(ann), heardBy(bob)];
    await bob.emitWithAck('say', 'kitchen', 'for ann only');
    await ann.emitWithAck('say', null, 'for all');
    // Events keep their order, so whatever comes before 'for all' is everything that came before it.
    await until('the broadcast', () => atAnn.includes('for all') && atBob.includes('for all'));
    assert.deepEqual(atAnn, ['for ann only', 'for all']);
    assert.deepEqual(atBob, ['for all']);
  });

  await check('broadcast: all but the sender', async () => {
    const [atAnn, atBob] = [heardBy(ann), heardBy(bob)];
    await ann.emitWithAck('tell others', 'psst');
    await ann.emitWithAck('say', null, 'the end');
    await until('the end', () => atAnn.includes('the end') && atBob.includes('the end'));
    assert.deepEqual(atAnn, ['the end']);
    assert.deepEqual(atBob, ['psst', 'the end']);
  });

  await check('the client disconnects', async () => {
    const gone = once(server.sockets.sockets.get(ann.id), 'disconnect');
    ann.disconnect();
    assert.equal((await gone)[0], 'client namespace disconnect');
  });

  await check('the server disconnects', async () => {
    const gone = once(bob, 'disconnect');
    server.sockets.sockets.get(bob.id).disconnect(true);
    assert.equal((await gone)[0], 'io server disconnect');
  });
}

function serve(socket) {
  socket.on('shout', (text, ack) => ack(text.toUpperCase()));
  socket.on('reverse', (bytes, ack) => ack(reversed(bytes)));
  socket.on('enter', (room, ack) => {
    socket.join(room);
    ack();
  });
  socket.on('say', (room, text, ack) => {
    (room ? socket.nsp.to(room) : socket.nsp).emit('said', text);
    ack();
  });
  socket.on('tell others', (text, ack) => {
    socket.broadcast.emit('said', text);
    ack();
  });
}

const reversed = (bytes) => Buffer.from(bytes).reverse();

function heardBy(client) {
  const heard = [];
  client.off('said').on('said', (text) => heard.push(text));
  return heard;
}
