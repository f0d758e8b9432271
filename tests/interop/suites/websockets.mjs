// Python's `websockets` at both ends, and at one end with `ws` at the other. The checks of the Python client are in
// python/client.py; this starts it and counts what it prints.

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { start } from '../lib/processes.mjs';
import { deferred, within } from '../lib/wait.mjs';
import { echo, openClient, WsBackend } from '../lib/wspeer.mjs';

const script = (name) => fileURLToPath(new URL(`../python/${name}`, import.meta.url));

export async function run({ check, relay, startGateway, certificates, direct, python }) {
  const pythonBackend = `ws://127.0.0.1:${await startPythonServer(python)}`;
  const nodeBackend = await WsBackend.start({ onConnection: echo });
  const gateway = await startGateway({
    routes: [
      { path: '/py/*', backend: pythonBackend },
      { path: '/py-passthrough/*', backend: pythonBackend, compression: 'passthrough' },
      { path: '/py-strip/*', backend: pythonBackend, compression: 'strip' },
      { path: '/node/*', backend: nodeBackend.url },
    ],
  });

  await check('a `ws` client and a `websockets` server', async () => {
    const client = await openClient(gateway.wss('/py/echo'), { ca: certificates.ca });
    for (const message of ['über den Zaun', Buffer.alloc(1024 * 1024, 7)]) {
      client.socket.send(message);
      assert.deepEqual(await client.message(), message);
    }
    client.socket.close(4001, 'bye');
    assert.deepEqual(await client.closed(), { code: 4001, reason: 'bye' });
  });

  await check('a `ws` client and a `websockets` server, compressed', async () => {
    const client = await openClient(gateway.wss('/py-passthrough/echo'), { ca: certificates.ca });
    assert.match(client.socket.extensions, /permessage-deflate/);
    const message = 'compresses well '.repeat(4096);
    client.socket.send(message);
    assert.equal(await client.message(), message);
    client.socket.terminate();
  });

  const base = gateway.wss('');
  const client = start(python, [script('client.py'), certificates.caFile, base, ...(direct ? ['direct'] : [])], {
    onLine: relay,
  });
  const ended = async () => assert.equal(await client.exited, 0, client.output());
  await check('the Python client came to its end', ended, 180_000);
}

async function startPythonServer(python) {
  const firstLine = deferred();
  const server = start(python, [script('server.py')], { onLine: firstLine.resolve });
  server.exited.then((how) => firstLine.reject(new Error(`server.py ended (${how}): ${server.output()}`)));
  return Number(await within(60_000, 'server.py', firstLine.promise));
}
