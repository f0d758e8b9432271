// A framegate of the suite's own: writes its configuration, starts it, waits until it accepts. With FRAMEGATE_DIRECT
// a stand-in takes its place and the suite does not notice.

import { randomInt } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { start } from './processes.mjs';
import { startStandIn } from './standin.mjs';
import { until } from './wait.mjs';

let started = 0;

export class Gateway {
  #process;

  /**
   * `listeners`: one object of extra listener keys each. `routes`: `{ path, backend, ...keys }` with keys as in
   * CONFIG.md, nested tables as nested objects. `backends` likewise; `top` is what stands before every table. Only what
   * a suite is about is set, so the defaults are tested too.
   */
  static async start({ tmp, certificates, direct, top = {}, listeners = [{}], backends = [], routes }) {
    const gateway = new Gateway();
    if (direct) {
      const port = await startStandIn({ certificates, routes });
      gateway.ports = listeners.map(() => port);
      return gateway;
    }
    gateway.ports = await freePorts(listeners.length);
    const file = join(tmp, `gateway-${(started += 1)}.toml`);
    writeFileSync(file, configuration({ certificates, top, listeners, backends, routes, ports: gateway.ports }));
    gateway.#process = start(process.env.FRAMEGATE_BIN, ['run', '--config', file], { env: { FRAMEGATE_LOG: 'info' } });
    for (const port of gateway.ports) await accepting(port, gateway.#process);
    return gateway;
  }

  /** `localhost:PORT`, as a URL has it. A name, and not 127.0.0.1, so that clients send SNI. */
  authority(listener = 0) {
    return `localhost:${this.ports[listener]}`;
  }

  https(path, listener) {
    return `https://${this.authority(listener)}${path}`;
  }

  wss(path, listener) {
    return `wss://${this.authority(listener)}${path}`;
  }

  printLog() {
    const lines = this.#process?.output().trimEnd().split('\n').slice(-40) ?? [];
    for (const line of lines) console.error(`# framegate: ${line}`);
  }
}

/**
 * Ports that were free a moment ago. All are held at once, so that they differ; and none of them is one that the kernel
 * gives to whoever asks for any, so that nobody else on this machine has it by the time that it is listened on.
 */
export async function freePorts(count) {
  const lowest = Number(readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s/)[0]);
  const holders = [];
  while (holders.length < count) {
    // Where the kernel gives away nearly all there are, any that is free has to do.
    const port = lowest > 14_000 ? randomInt(12_000, lowest) : 0;
    const holder = createServer().listen(port, '127.0.0.1');
    const isHeld = await new Promise((tell) => holder.once('listening', () => tell(true)).once('error', () => tell(false)));
    if (isHeld) holders.push(holder);
  }
  const ports = holders.map((holder) => holder.address().port);
  await Promise.all(holders.map((holder) => new Promise((closed) => holder.close(closed))));
  return ports;
}

/** Returns when `port` accepts; fails at once, with what the program said, when it has ended instead. */
export async function accepting(port, { exited, output }) {
  let ended;
  exited.then((how) => (ended = { how }));
  await until(`port ${port}`, async () => {
    if (ended) throw new Error(`framegate ended (${ended.how}) before it listened: ${output()}`);
    const probe = connect(port, '127.0.0.1');
    try {
      await once(probe, 'connect');
      return true;
    } catch {
      return false;
    } finally {
      probe.destroy();
    }
  });
}

function configuration({ certificates, top, listeners, backends, routes, ports }) {
  const tables = [
    { head: '# Written for one suite.', body: top },
    { head: '[shutdown]', body: { drain_timeout: '2s', close_spread: '500ms' } },
    ...listeners.map((keys, index) => ({
      head: '[[listener]]',
      body: {
        bind: `127.0.0.1:${ports[index]}`,
        tls: { cert: certificates.certFile, key: certificates.keyFile },
        ...keys,
      },
    })),
    ...backends.map((backend) => ({ head: '[[backend]]', body: backend })),
    ...routes.map((route) => ({ head: '[[route]]', body: route })),
  ];
  return tables.map(({ head, body }) => [head, ...pairs(body)].join('\n')).join('\n\n') + '\n';
}

/** The keys of a table, a line each. */
export const pairs = (table) => Object.entries(table).map(([key, value]) => `${key} = ${toml(value)}`);

/** A value in TOML. JSON's strings, numbers, booleans and arrays are TOML's; only tables are written differently. */
function toml(value) {
  const isTable = typeof value === 'object' && !Array.isArray(value);
  return isTable ? `{ ${pairs(value).join(', ')} }` : JSON.stringify(value);
}
