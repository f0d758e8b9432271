// Three processes of one of ../servers/, which print the port that they listen on and tell at /counts what they met.

import { fileURLToPath } from 'node:url';
import { start } from '../../interop/lib/processes.mjs';
import { deferred, within } from '../../interop/lib/wait.mjs';

export class Servers {
  static async start(name) {
    const servers = new Servers();
    const ports = await Promise.all(['1', '2', '3'].map(() => startOne(name)));
    servers.urls = Object.fromEntries(ports.map((port, index) => [`BACKEND_${index + 1}`, `ws://127.0.0.1:${port}`]));
    servers.ports = ports;
    return servers;
  }

  /** One `{ served, refused }` a server, since they were asked last. */
  counts() {
    return Promise.all(this.ports.map(async (port) => (await fetch(`http://127.0.0.1:${port}/counts`)).json()));
  }
}

async function startOne(name) {
  const firstLine = deferred();
  const script = fileURLToPath(new URL(`../servers/${name}.mjs`, import.meta.url));
  const server = start(process.execPath, [script], { onLine: firstLine.resolve });
  server.exited.then((how) => firstLine.reject(new Error(`${name}.mjs ended (${how}): ${server.output()}`)));
  return Number(await within(60_000, `${name}.mjs`, firstLine.promise));
}

export const sum = (counts, key) => counts.reduce((total, count) => total + count[key], 0);
