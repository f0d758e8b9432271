// The same traffic and the same changes through nginx and HAProxy, with their defaults and with old workers that have a
// limit: what each of them does to its clients, side by side.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { Framegate } from '../lib/framegate.mjs';
import { HAProxy } from '../lib/haproxy.mjs';
import { Nginx } from '../lib/nginx.mjs';
import { BROKEN, CLIENTS, EVERY_MS, PAIRS, Story, TURNS, VISITOR_EVERY_MS } from '../lib/story.mjs';
import { SHUTDOWN } from './changes.mjs';

/** What an old worker gets in the columns that limit it. */
const PATIENCE = '5s';

const COLUMNS = [
  { title: 'framegate', Proxy: Framegate, options: { shutdown: SHUTDOWN } },
  { title: 'nginx, defaults', Proxy: Nginx, options: {} },
  { title: `nginx, \`worker_shutdown_timeout ${PATIENCE}\``, Proxy: Nginx, options: { patience: PATIENCE } },
  { title: 'HAProxy, defaults', Proxy: HAProxy, options: {} },
  { title: `HAProxy, \`hard-stop-after ${PATIENCE}\``, Proxy: HAProxy, options: { patience: PATIENCE } },
];

export async function run({ check, skip, ca, left, startedWith }) {
  const measured = [];
  for (const { title, Proxy, options } of COLUMNS) {
    if (!Proxy.isThere()) {
      skip(title, 'is not installed');
      continue;
    }
    await check(title, async () => {
      const figures = (Proxy === Framegate && left.framegate) || (await tell(Proxy, options, ca, startedWith));
      // How the others treat their clients is theirs; that the changes came about is what makes the columns comparable.
      assert.deepEqual(figures.failures, []);
      measured.push({ title, version: Proxy.version(), ...figures });
    }, 300_000);
  }
  const table = write(measured);
  const folder = new URL('../../../target/operations/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL('proxies.md', folder), table);
  console.log(table);
}

async function tell(Proxy, options, ca, startedWith) {
  const story = await Story.prepare(Proxy, options, ca);
  startedWith(story.proxy);
  const figures = await story.run();
  await story.end();
  return figures;
}

const ROWS = [
  ['seconds that it took', (one) => one.seconds.toFixed(0)],
  ['connections', (one) => one.connections],
  ['sessions ended', (one) => one.disconnects],
  ['… with a Close that says to come back (1012)', (one) => one.codes[1012] ?? 0],
  ['… cut off without a word (1006)', (one) => one.codes[1006] ?? 0],
  ['messages that never arrived', (one) => one.lost],
  ['answers that came too late for their session', (one) => one.overtaken],
  ['messages doubled, reordered or altered', (one) => one.disorder.length],
  ['attempts to connect that failed', (one) => one.refused],
  ['processes at the end', (one) => one.looks.end.pids.length],
  ['memory after the first changes (PSS)', (one) => mib(one.looks.early.memory)],
  ['memory at the end', (one) => mib(one.looks.end.memory)],
];

const mib = (kib) => `${(kib / 1024).toFixed(0)} MiB`;

function write(measured) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const lines = [
    line(['', ...measured.map((one) => one.title)]),
    line(['---', ...measured.map(() => '--:')]),
    ...ROWS.map(([name, value]) => line([name, ...measured.map(value)])),
  ];
  const versions = [...new Set(measured.map((one) => one.version))].join(', ');
  return `${lines.join('\n')}

${CLIENTS} clients that say something every ${EVERY_MS} ms over wss, and a new one every ${VISITOR_EVERY_MS} ms, half of
which stay; a route added and removed ${TURNS} times, ${BROKEN} broken files, ${PAIRS} certificates, one change of the
program, each done the way the systemd unit of that proxy does it. ${versions}.
`;
}
