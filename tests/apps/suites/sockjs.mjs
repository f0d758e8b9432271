// SockJS with each of the transports that its client has in Node, and three servers.

import assert from 'node:assert/strict';
import { within } from '../../interop/lib/wait.mjs';
import { roundRobin, without } from '../lib/gateway.mjs';
import { SockJs } from '../lib/packages.mjs';
import { isClosedAfter, refusesOtherSites } from '../lib/refusals.mjs';
import { Servers, sum } from '../lib/servers.mjs';

export async function run({ check, afterQuiet, startGateway }) {
  const servers = await Servers.start('sockjs');
  const gateway = await startGateway({ servers: servers.urls });

  for (const transport of ['websocket', 'xhr-streaming', 'xhr-polling']) {
    await check(`30 clients with ${transport}`, async () => {
      const clients = await Promise.all(Array.from({ length: 30 }, () => connected(gateway, transport)));
      await Promise.all(clients.map(echoes));
      clients.forEach((client) => client.close());
      const counts = await servers.counts();
      assert.equal(sum(counts, 'refused'), 0, JSON.stringify(counts));
      assert.equal(sum(counts, 'served'), 30, JSON.stringify(counts));
    });
  }

  await refusesOtherSites(check, gateway.wss('/sockjs/websocket'));
  await check('binary messages are not let through', () => isClosedAfter(Buffer.of(1), gateway.wss('/sockjs/websocket')));

  const unled = await startGateway({
    servers: servers.urls,
    edit: (text) => roundRobin(without('balance', 'hash_on', 'sticky')(text)),
  });
  await check('polls fail where nothing leads them', async () => {
    const tries = Array.from({ length: 10 }, async () => echoes(await connected(unled, 'xhr-polling')));
    const outcomes = await Promise.allSettled(tries.map((one) => within(5000, 'the echo', one)));
    assert.ok(outcomes.some(({ status }) => status === 'rejected'), 'all of them got through');
    assert.ok(sum(await servers.counts(), 'refused') > 0, 'no server has answered 404');
  });

  const quiet = await connected(gateway, 'websocket');
  afterQuiet('a client that was quiet goes on', () => echoes(quiet));
}

function connected(gateway, transport) {
  const client = new SockJs(gateway.https('/sockjs'), null, { transports: [transport] });
  return new Promise((resolve, reject) => {
    client.onopen = () => (client.transport === transport ? resolve(client) : reject(new Error(client.transport)));
    client.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
  });
}

/** Ten messages come back in their order. */
async function echoes(client) {
  const sent = Array.from({ length: 10 }, (_, n) => `grüße ${n} ${'x'.repeat(1000 * n)}`);
  const received = [];
  await new Promise((resolve, reject) => {
    client.onmessage = ({ data }) => received.push(data) === sent.length && resolve();
    client.onclose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
    sent.forEach((message) => client.send(message));
  });
  assert.deepEqual(received, sent);
}
