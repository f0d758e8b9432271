// The gateway with a file from config/, byte for byte; only where it listens and where its servers are comes from the
// environment, as it may for anybody who uses that file.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepting, freePorts } from '../../interop/lib/gateway.mjs';
import { start } from '../../interop/lib/processes.mjs';

let started = 0;

/** `servers`: the variables of the file with their URLs. `edit`: what a check changes to see that the file is needed. */
export async function startGateway({ tmp, file, servers, edit = (text) => text }) {
  const shipped = readFileSync(new URL(`../../../config/${file}.toml`, import.meta.url), 'utf8');
  const directory = join(tmp, 'config');
  const copy = join(directory, `${file}-${(started += 1)}.toml`);
  mkdirSync(directory, { recursive: true });
  writeFileSync(copy, edit(shipped));

  const [port] = await freePorts(1);
  const env = { FRAMEGATE_LOG: 'info', LISTEN: `127.0.0.1:${port}`, ...servers };
  const gateway = start(process.env.FRAMEGATE_BIN, ['run', '--config', copy], { env });
  await accepting(port, gateway);
  const lines = () => gateway.output().trimEnd().split('\n');
  return {
    port,
    lines,
    origin: `https://localhost:${port}`,
    https: (path) => `https://localhost:${port}${path}`,
    wss: (path) => `wss://localhost:${port}${path}`,
    printLog: () => {
      for (const line of lines().slice(-40)) console.error(`# framegate ${file}: ${line}`);
    },
  };
}

/** The file without the lines that begin with these words, which it must have; for `edit`. */
export function without(...beginnings) {
  return (text) => {
    for (const beginning of beginnings) {
      if (!text.includes(`\n${beginning}`)) throw new Error(`the file has no line that begins with ${beginning}`);
    }
    return text.split('\n').filter((line) => !beginnings.some((beginning) => line.startsWith(beginning))).join('\n');
  };
}

/** What the servers of a pool do when nothing leads a client back: each request goes to the next. */
export const roundRobin = (text) => text.replace('\n[[backend]]\n', '\n[[backend]]\nbalance = "round_robin"\n');
