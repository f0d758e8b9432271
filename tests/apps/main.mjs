// Runs the suites named on the command line, one after another, then what they left for after a quiet while, and prints
// the tally. Started by ./run, which prepared everything that the INTEROP_* variables point to.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { stopEverything } from '../interop/lib/processes.mjs';
import { Report } from '../interop/lib/report.mjs';
import { startGateway } from './lib/gateway.mjs';

const TOTAL_MS = 680_000;
// Longer than ping_interval, its tenth more, and pong_timeout together: an application that does not answer the gateway's
// pings, or takes offence at them, has lost its session by then.
const QUIET_MS = 50_000;

const { INTEROP_TMP: tmp, INTEROP_PYTHON: python, INTEROP_CHROMIUM: chromium } = process.env;
const report = new Report({ direct: false });

let finishing = false;

async function finish() {
  if (finishing) return;
  finishing = true;
  report.close();
  await stopEverything();
  process.exitCode = report.summary();
  // A check that ran into its deadline may have left sockets open; they must not hold the run.
  process.exit();
}

async function abandon(why) {
  report.fail('run', why);
  await finish();
}

const deadline = setTimeout(() => abandon(`not finished after ${TOTAL_MS / 1000} s`), TOTAL_MS);
// `on` and not `once`: the same signal comes from the shell and from timeout(1), and the second must not kill.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => abandon(`stopped by ${signal}`));
process.on('unhandledRejection', (error) => report.fail('run', `unhandled: ${error?.stack ?? error}`));

// The files in config/ name their certificate "../certs/site.pem", so their copies get one there.
mkdirSync(join(tmp, 'certs'));
cpSync(join(tmp, 'leaf.pem'), join(tmp, 'certs/site.pem'));
cpSync(join(tmp, 'leaf.key'), join(tmp, 'certs/site.key'));

const ran = [];
const forLater = [];
let quietSince = Date.now();

for (const name of process.argv.slice(2)) {
  const { run } = await import(`./suites/${name}.mjs`);
  const suite = report.suite(name);
  const gateways = [];
  ran.push({ suite, gateways });
  const context = {
    ...suite,
    tmp,
    caFile: join(tmp, 'ca.pem'),
    python,
    chromium,
    quietMs: QUIET_MS,
    /** `body` runs when nobody has said anything for QUIET_MS; the suites that follow use that time. */
    afterQuiet: (what, body) => {
      quietSince = Date.now();
      forLater.push(() => suite.check(what, body));
    },
    startGateway: async (options) => {
      const gateway = await startGateway({ tmp, file: name, ...options });
      gateways.push(gateway);
      return gateway;
    },
  };
  try {
    await run(context);
  } catch (error) {
    report.fail(name, `the suite could not go on: ${error.stack}`);
  }
}

if (forLater.length > 0) await pause(Math.max(0, quietSince + QUIET_MS - Date.now()));
for (const check of forLater) await check();
for (const { suite, gateways } of ran) {
  // Its probes above all: those of Socket.IO and SockJS ask for what only these servers have.
  await suite.check('no server was found failing', () => {
    const failing = gateways.flatMap((gateway) => gateway.lines()).filter((line) => /server (failed|is down)/.test(line));
    assert.deepEqual(failing, []);
  });
  if (suite.failures() > 0) for (const gateway of gateways) gateway.printLog();
}
clearTimeout(deadline);
await finish();
