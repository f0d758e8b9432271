// Runs the suites named on the command line, one after another, and prints the tally. Started by ./run, which prepared
// everything that the INTEROP_* variables point to.

import { stopEverything } from '../interop/lib/processes.mjs';
import { Report } from '../interop/lib/report.mjs';
import { Gateway } from './lib/gateway.mjs';

const { INTEROP_TMP: tmp, INTEROP_CHROMIUM: chromium, DASHBOARD_SHOTS: shots } = process.env;
/** Pictures want a history to be seen in them. */
const TOTAL_MS = shots ? 910_000 : 680_000;

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

for (const name of process.argv.slice(2)) {
  const { run } = await import(`./suites/${name}.mjs`);
  const suite = report.suite(name);
  const gateways = [];
  const startGateway = async (config) => {
    const gateway = await Gateway.start({ tmp, ...config });
    gateways.push(gateway);
    return gateway;
  };
  try {
    await run({ ...suite, tmp, chromium, shots, startGateway });
  } catch (error) {
    report.fail(name, `the suite could not go on: ${error.message}`);
  }
  if (suite.failures() > 0) gateways.forEach((gateway) => gateway.printLog());
  await stopEverything();
}

clearTimeout(deadline);
await finish();
