// Three hundred Socket.IO clients with their default transports and three servers. The clients in Node open a connection
// for each poll, so only the gateway can bring them back to where their session is.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent } from 'node:https';
import { setTimeout as pause } from 'node:timers/promises';
import { startBrowser } from '../../interop/lib/browser.mjs';
import { socketIoClient } from '../../interop/lib/packages.mjs';
import { within } from '../../interop/lib/wait.mjs';
import { roundRobin, without } from '../lib/gateway.mjs';
import { refusesOtherSites } from '../lib/refusals.mjs';
import { Servers, sum } from '../lib/servers.mjs';

const CLIENTS = 300;
const AT_A_TIME = 30;
const PATIENCE_MS = 180_000;

export async function run({ check, afterQuiet, startGateway, chromium }) {
  const servers = await Servers.start('socketio');
  const shipped = await startGateway({ servers: servers.urls });
  const anew = (edit) => startGateway({ servers: servers.urls, edit });

  const open = [];
  await check(`${CLIENTS} clients without cookies, of 100 addresses: no 400, every one upgrades`, async () => {
    const clients = await manyUpgraded(shipped, CLIENTS, (n) => ({ agent: new Agent({ localAddress: `127.0.1.${1 + (n % 100)}` }) }));
    open.push(clients[0]);
    await allWork(clients, servers);
    clients.slice(1).forEach((client) => client.disconnect());
  }, PATIENCE_MS);

  const byCookie = await anew(without('balance', 'hash_on'));
  await check(`${CLIENTS} clients with cookies, of one address, led by the cookie alone: no 400, every one upgrades`, async () => {
    const clients = await manyUpgraded(byCookie, CLIENTS, () => ({ withCredentials: true }));
    await allWork(clients, servers);
    clients.forEach((client) => client.disconnect());
  }, PATIENCE_MS);

  const shortLived = await anew((text) => without('balance', 'hash_on')(text).replace('ttl = "1d"', 'ttl = "2s"'));
  await check('the cookie does not run out under a client that goes on polling', async () => {
    const client = await connected(shortLived, { withCredentials: true, transports: ['polling'] });
    for (const end = Date.now() + 5000; Date.now() < end; await pause(250)) await answers(client);
    client.disconnect();
  });

  await refusesOtherSites(check, shipped.wss('/socket.io/?EIO=4&transport=websocket'));

  // The checks above could not fail if a client got along without being led.
  const unled = await anew((text) => roundRobin(without('balance', 'hash_on', 'sticky')(text)));
  const bySid = await anew((text) => without('sticky')(text).replace('hash_on = "client_ip"', 'hash_on = "query:sid"'));
  for (const [how, gateway] of [['nothing leads them', unled], ['they are led by query:sid', bySid]]) {
    await check(`clients fail where ${how}`, async () => {
      const outcomes = await Promise.allSettled(Array.from({ length: 12 }, () => upgraded(gateway)));
      outcomes.forEach(({ value }) => value?.disconnect());
      assert.ok(outcomes.some(({ status }) => status === 'rejected'), 'all of them got through');
      assert.ok(sum(await servers.counts(), 'refused') > 0, 'no server has answered 400');
    });
  }

  const inBrowser = await anew((text) => roundRobin(without('balance', 'hash_on')(text)));
  await check('ten clients in Chromium are led by the cookie alone', () => upgradesInBrowser(chromium, inBrowser, servers), 90_000);

  afterQuiet('a client that was quiet goes on', () => works(open[0]));
}

/** All at once they would measure this process, which is the client of each. */
async function manyUpgraded(gateway, count, optionsOf) {
  const clients = [];
  while (clients.length < count) {
    const some = Array.from({ length: Math.min(AT_A_TIME, count - clients.length) }, (_, n) => optionsOf(clients.length + n));
    clients.push(...(await Promise.all(some.map((options) => upgraded(gateway, options)))));
  }
  return clients;
}

const newClient = (gateway, options) => socketIoClient(gateway.https(''), { forceNew: true, reconnection: false, ...options });

async function connected(gateway, options) {
  const client = newClient(gateway, options);
  await new Promise((resolve, reject) => client.once('connect', resolve).once('connect_error', reject));
  return client;
}

/** A client that has upgraded; or why it has not. */
async function upgraded(gateway, options) {
  const client = newClient(gateway, options);
  const failed = new Promise((_, reject) => {
    client.once('connect_error', (error) => reject(new Error(`${error.message} ${error.description ?? ''}`)));
    client.io.on('open', () => {
      client.io.engine.once('upgradeError', reject);
      client.io.engine.once('close', (why, error) => reject(new Error(`closed: ${why} ${error?.description ?? ''}`)));
    });
  });
  const done = Promise.all([
    once(client, 'connect'),
    new Promise((resolve) => client.io.on('open', () => client.io.engine.once('upgrade', resolve))),
  ]);
  try {
    await within(60_000, 'the upgrade', Promise.race([done, failed]));
    assert.equal(client.io.engine.transport.name, 'websocket');
  } catch (error) {
    client.disconnect();
    throw error;
  } finally {
    failed.catch(() => {}); // Later it fails by being closed.
  }
  return client;
}

async function works(client) {
  assert.equal(client.io.engine.transport.name, 'websocket');
  await answers(client);
}

async function answers(client) {
  assert.equal(await client.timeout(20_000).emitWithAck('shout', 'hello'), 'HELLO');
}

/** Every client is served, by one of several servers, of which none has refused a request. */
async function allWork(clients, servers) {
  await Promise.all(clients.map(works));
  const counts = await servers.counts();
  const told = JSON.stringify(counts);
  assert.equal(sum(counts, 'refused'), 0, told);
  assert.equal(sum(counts, 'served'), clients.length, told);
  assert.ok(counts.every(({ served }) => served > clients.length / 10), `not spread: ${told}`);
  console.error(`# socketio: clients at each server: ${counts.map(({ served }) => served).join(' ')}`);
}

async function upgradesInBrowser(chromium, gateway, servers) {
  const browser = await startBrowser(chromium);
  const page = await browser.newPage();
  // The script that the server brings along is also a page of its origin.
  await page.goto(gateway.https('/socket.io/socket.io.js'));
  await page.addScriptTag({ url: gateway.https('/socket.io/socket.io.js') });
  const transports = await page.evaluate(async () => {
    const one = () => new Promise((resolve, reject) => {
      const client = globalThis.io({ forceNew: true, reconnection: false });
      client.once('connect_error', reject);
      client.once('connect', () => {
        const { engine } = client.io;
        if (engine.transport.name === 'websocket') resolve('websocket');
        engine.once('upgrade', ({ name }) => resolve(name));
      });
    });
    return Promise.all(Array.from({ length: 10 }, one));
  });
  assert.deepEqual(transports, Array(10).fill('websocket'));
  assert.equal(sum(await servers.counts(), 'refused'), 0);
}
