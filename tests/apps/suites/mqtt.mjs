// mosquitto, and paho-mqtt in Python at both ends; the checks of the latter are in ../python/mqtt_client.py.

import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { accepting, freePorts } from '../../interop/lib/gateway.mjs';
import { start } from '../../interop/lib/processes.mjs';
import { within } from '../../interop/lib/wait.mjs';
import { isClosedAfter, isRefused, refusesOtherSites } from '../lib/refusals.mjs';

const SUBPROTOCOL = { protocols: ['mqtt'] };

export async function run({ check, skip, relay, afterQuiet, startGateway, tmp, caFile, python, quietMs }) {
  const mosquitto = ['/usr/sbin/mosquitto', '/usr/local/sbin/mosquitto', '/usr/bin/mosquitto'].find(existsSync);
  if (!mosquitto) return skip('everything', 'mosquitto is not installed');
  const [plainPort, socketPort] = await freePorts(2);
  const file = join(tmp, 'mosquitto.conf');
  const listeners = [`listener ${plainPort} 127.0.0.1`, `listener ${socketPort} 127.0.0.1`, 'protocol websockets'];
  writeFileSync(file, [...listeners, 'allow_anonymous true', ''].join('\n'));
  const broker = start(mosquitto, ['-c', file]);
  await accepting(socketPort, broker);
  const gateway = await startGateway({ servers: { BACKEND: `ws://127.0.0.1:${socketPort}` } });
  const url = gateway.wss('/mqtt');

  const script = fileURLToPath(new URL('../python/mqtt_client.py', import.meta.url));
  const args = [script, caFile, `${gateway.port}`, `${plainPort}`, `${quietMs / 1000}`];
  let quiet;
  const becameQuiet = new Promise((resolve) => (quiet = resolve));
  const client = start(python, args, { onLine: (line) => (line === 'quiet' ? quiet() : relay(line)) });
  await within(90_000, 'mqtt_client.py', Promise.race([becameQuiet, client.exited]));

  await refusesOtherSites(check, url, SUBPROTOCOL);
  await check('a WebSocket without the subprotocol is refused', () => isRefused(url, {}, 404, 'no_route'));
  await check('text is not let through', () => isClosedAfter('hello', url, SUBPROTOCOL));
  await check('plain HTTP is not let through', async () => {
    assert.equal((await fetch(gateway.https('/mqtt'))).status, 404);
  });
  afterQuiet('the client came to its end', async () => assert.equal(await client.exited, 0, client.output()));
}
