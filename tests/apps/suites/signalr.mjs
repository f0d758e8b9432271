// Microsoft's SignalR client, and three servers of ../servers/signalr.mjs, which stand in for ASP.NET Core.

import assert from 'node:assert/strict';
import { atEnd } from '../../interop/lib/processes.mjs';
import { roundRobin, without } from '../lib/gateway.mjs';
import { signalR } from '../lib/packages.mjs';
import { refusesOtherSites } from '../lib/refusals.mjs';
import { Servers, sum } from '../lib/servers.mjs';

const { HttpTransportType, HubConnectionBuilder, LogLevel } = signalR;
const CLIENTS = 60;

export async function run({ check, afterQuiet, startGateway }) {
  const servers = await Servers.start('signalr');
  const gateway = await startGateway({ servers: servers.urls });
  const transports = [
    ['the transport that was negotiated', undefined],
    ['WebSocket alone', HttpTransportType.WebSockets],
    ['long polling', HttpTransportType.LongPolling],
  ];
  for (const [name, transport] of transports) {
    await check(`${CLIENTS} clients, ${name}: each is led by its cookie`, async () => {
      const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connected(gateway, transport)));
      await Promise.all(clients.map(works));
      const counts = await servers.counts();
      assert.equal(sum(counts, 'refused'), 0, JSON.stringify(counts));
      assert.equal(sum(counts, 'served'), CLIENTS, JSON.stringify(counts));
      assert.ok(counts.every(({ served }) => served > 0), `not spread: ${JSON.stringify(counts)}`);
      await Promise.all(clients.map((client) => client.stop()));
    }, 60_000);
  }

  await refusesOtherSites(check, gateway.wss('/hubs/chat?id=1'));

  const unled = await startGateway({ servers: servers.urls, edit: (text) => roundRobin(without('sticky')(text)) });
  await check('clients fail where nothing leads them', async () => {
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => connected(unled)));
    assert.ok(outcomes.some(({ status }) => status === 'rejected'), 'all of them got through');
    assert.ok(sum(await servers.counts(), 'refused') > 0, 'no server has answered 404');
  });

  const quiet = await connected(gateway);
  afterQuiet('a client that was quiet goes on', () => works(quiet));
}

async function connected(gateway, transport) {
  const options = { transport, logger: LogLevel.None };
  const client = new HubConnectionBuilder().withUrl(gateway.https('/hubs/chat'), options).build();
  // The stand-in sends no pings, and a quiet while is to be quiet.
  client.serverTimeoutInMilliseconds = client.keepAliveIntervalInMilliseconds = 300_000;
  atEnd(() => client.stop());
  await client.start();
  return client;
}

async function works(client) {
  assert.equal(await client.invoke('Shout', 'grüße'), 'GRÜSSE');
  const items = [];
  await new Promise((complete, error) => {
    client.stream('Count', 5).subscribe({ next: (item) => items.push(item), complete, error });
  });
  assert.deepEqual(items, [0, 1, 2, 3, 4]);
}
