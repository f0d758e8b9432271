// Runs the suites named on the command line, one after another, and prints the tally. Started by ./run, which
// prepared everything that the INTEROP_* variables point to.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Gateway } from './lib/gateway.mjs';
import { stopEverything } from './lib/processes.mjs';
import { Report } from './lib/report.mjs';

const TOTAL_MS = 680_000;

const { INTEROP_TMP: tmp, INTEROP_PYTHON: python, INTEROP_CHROMIUM: chromium } = process.env;
const certificates = {
  ca: readFileSync(join(tmp, 'ca.pem')),
  caFile: join(tmp, 'ca.pem'),
  cert: readFileSync(join(tmp, 'leaf.pem')),
  certFile: join(tmp, 'leaf.pem'),
  key: readFileSync(join(tmp, 'leaf.key')),
  keyFile: join(tmp, 'leaf.key'),
};
const direct = Boolean(process.env.FRAMEGATE_DIRECT);
const report = new Report({ direct });

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
  const gateways = [];
  const context = {
    ...suite,
    certificates,
    direct,
    tmp,
    python,
    chromium,
    startGateway: async (config) => {
      const gateway = await Gateway.start({ tmp, certificates, direct, ...config });
      gateways.push(gateway);
      return gateway;
    },
  };
  try {
    await run(context);
  } catch (error) {
    report.fail(name, `the suite could not go on: ${error.message}`);
  }
  if (suite.failures() > 0) for (const gateway of gateways) gateway.printLog();
  await stopEverything();
}

clearTimeout(deadline);
await finish();
