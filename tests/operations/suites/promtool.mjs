// Prometheus' own tool reads what a gateway says that has seen traffic, and the rules in deploy/: it must have nothing to say.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Echo } from '../lib/echo.mjs';
import { Fleet } from '../lib/fleet.mjs';
import { Framegate } from '../lib/framegate.mjs';
import { WebSocket } from '../lib/packages.mjs';

const RULES = new URL('../../../deploy/prometheus/', import.meta.url);

export async function run({ check, skip, ca, left, startedWith }) {
  if (!process.env.PROMTOOL) return skip('everything', 'there is no promtool, nor a way to Debian’s archive');
  const metrics = left.metrics ?? (await metricsOfSomeTraffic(ca, startedWith));
  await check('check metrics', async () => {
    for (const name of ['framegate_sessions_ended_total', 'framegate_messages_total']) {
      assert.match(metrics, new RegExp(`^${name}\\{`, 'm'), 'this gateway has seen nothing');
    }
    assert.equal(await promtool(metrics, 'check', 'metrics'), '');
  });
  const files = existsSync(RULES) ? readdirSync(RULES).filter((name) => name.includes('rules')) : [];
  if (files.length === 0) return skip('check rules', 'there are none in deploy/prometheus');
  await check('check rules', () => promtool('', 'check', 'rules', ...files.map((name) => fileURLToPath(new URL(name, RULES)))));
}

/** What it says; where it finds something wrong, that is the failure. */
async function promtool(input, ...args) {
  const tool = spawn(process.env.PROMTOOL, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [tool.stdout, tool.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text));
  tool.stdin.end(input);
  const [code] = await once(tool, 'close');
  assert.equal(code, 0, said);
  return said;
}

/** Sessions that live and some that ended, one of them for breaking a rule, and somebody who was refused. */
async function metricsOfSomeTraffic(ca, startedWith) {
  const echo = await Echo.start();
  const gateway = await Framegate.start({ backend: echo.port, routes: ['a'], shutdown: 'close_spread = "1s"' });
  startedWith(gateway);
  const fleet = new Fleet({ url: `wss://localhost:${gateway.port}/a/`, ca, echo });
  await fleet.join(10, 100);
  const breakRule = (socket) => socket._socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0]));
  for (const [path, act] of [['a', (socket) => socket.close(4000)], ['a', breakRule], ['nowhere', () => {}]]) {
    const socket = new WebSocket(`wss://localhost:${gateway.port}/${path}/passing`, { ca });
    socket.on('open', () => act(socket)).on('error', () => {});
    await once(socket, 'close');
  }
  const metrics = await gateway.metrics();
  await fleet.leave();
  await gateway.stop();
  return metrics;
}
