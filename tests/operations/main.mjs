// Runs the suites named on the command line, one after another, and prints the tally. Started by ./run, which prepared
// everything that the INTEROP_* and OPERATIONS_* variables point to.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stopEverything } from '../interop/lib/processes.mjs';
import { Report } from '../interop/lib/report.mjs';

// Four minutes on a machine that has nothing else to do.
const TOTAL_MS = 1_480_000;

const ca = readFileSync(join(process.env.INTEROP_TMP, 'ca.pem'));
const report = new Report({ direct: false });
/** What a suite leaves for those behind it. */
const left = {};

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

for (const name of process.argv.slice(2)) {
  const { run } = await import(`./suites/${name}.mjs`);
  const suite = report.suite(name);
  const started = [];
  try {
    await run({ ...suite, ca, left, startedWith: (proxy) => started.push(proxy) });
  } catch (error) {
    report.fail(name, `the suite could not go on: ${error.stack}`);
  }
  if (suite.failures() > 0) for (const proxy of started) proxy.printLog();
  await stopEverything();
}

clearTimeout(deadline);
await finish();
