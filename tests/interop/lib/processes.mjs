// Child processes and other things that must be stopped, whatever happens in between.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { within } from './wait.mjs';

const stops = [];

/** Remembers how to stop something; `stopEverything` runs these in reverse order. */
export function atEnd(stop) {
  stops.push(stop);
}

export async function stopEverything() {
  while (stops.length > 0) {
    try {
      await stops.pop()();
    } catch (error) {
      console.error(`# while stopping: ${error.message}`);
    }
  }
}

/**
 * Starts a program and returns `{ child, exited, output }`: `exited` gives the exit code or signal, `output()` what
 * it has printed so far. `onLine` gets each line of its standard output.
 */
export function start(command, args, { env, onLine } = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let printed = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    printed += text;
    const lines = (rest + text).split('\n');
    rest = lines.pop();
    lines.forEach((line) => onLine?.(line));
  });
  child.stderr.setEncoding('utf8').on('data', (text) => (printed += text));

  // 'close' and not 'exit': by then everything that it printed has been read.
  const exited = new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  atEnd(() => stop(child, exited));
  return { child, exited, output: () => printed };
}

/** Asks politely, then at once (a second SIGTERM cuts framegate's drain short), then not at all. */
async function stop(child, exited) {
  for (const [signal, patience] of [['SIGTERM', 2000], ['SIGTERM', 1000], ['SIGKILL', 2000]]) {
    if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    child.kill(signal);
    try {
      await within(patience, 'the program', exited);
      return;
    } catch {
      // It gets the next signal.
    }
  }
}

/** Starts a net, http or https server on a free loopback port and returns that port. */
export async function listen(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(() => {
    server.closeAllConnections?.();
    server.close();
  });
  return server.address().port;
}
