// A framegate with an admin address, and routes to a backend of the checks.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepting, freePorts, pairs } from '../../interop/lib/gateway.mjs';
import { start } from '../../interop/lib/processes.mjs';

let started = 0;

export class Gateway {
  #file;
  #process;

  /**
   * `routes`: name → path, or an object of keys. `token`: what the admin address asks for. `secure`: another listener, with
   * the certificate of this run.
   */
  static async start({ tmp, backend, routes, token, secure }) {
    const gateway = new Gateway();
    [gateway.port, gateway.admin, gateway.secure] = await freePorts(3);
    gateway.#file = join(tmp, `gateway-${(started += 1)}.toml`);
    const tokenFile = token && `${gateway.#file}.token`;
    if (token) writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 });
    writeFileSync(
      gateway.#file,
      configuration({ ...gateway, tmp, tokenFile, backend, routes, secure: secure && gateway.secure }),
    );
    await gateway.run();
    return gateway;
  }

  get page() {
    return `http://127.0.0.1:${this.admin}/`;
  }

  ws(path) {
    return `ws://127.0.0.1:${this.port}${path}`;
  }

  async run() {
    this.#process = start(process.env.FRAMEGATE_BIN, ['run', '--config', this.#file], {
      env: { FRAMEGATE_LOG: 'info' },
    });
    await accepting(this.admin, this.#process);
    await accepting(this.port, this.#process);
  }

  /** As a machine that fails: nobody is told. */
  async kill() {
    this.#process.child.kill('SIGKILL');
    await this.#process.exited;
  }

  /** What the admin address says to a program. */
  async get(path) {
    const response = await fetch(`http://127.0.0.1:${this.admin}${path}`);
    return response.json();
  }

  printLog() {
    const lines = this.#process.output().trimEnd().split('\n').slice(-40);
    for (const line of lines) console.error(`# framegate: ${line}`);
  }
}

function configuration({ port, admin, secure, tmp, tokenFile, backend, routes }) {
  const tables = [
    ['[log]', 'access = false'],
    ['[shutdown]', 'drain_timeout = "1s"', 'close_spread = "100ms"'],
    ['[admin]', `bind = "127.0.0.1:${admin}"`, ...(tokenFile ? [`token_file = ${JSON.stringify(tokenFile)}`] : [])],
    ['[[listener]]', `bind = "127.0.0.1:${port}"`],
    secure && [
      '[[listener]]',
      'name = "secure"',
      `bind = "127.0.0.1:${secure}"`,
      `tls = { cert = "${tmp}/leaf.pem", key = "${tmp}/leaf.key" }`,
    ],
    ...Object.entries(routes).map(([name, path]) => [
      '[[route]]',
      ...pairs({ name, backend, ...(typeof path === 'string' ? { path } : path) }),
      // Round trips are to be seen soon.
      'heartbeat = { ping_interval = "1s", backend_ping_interval = "1s" }',
    ]),
  ];
  return `${tables
    .filter(Boolean)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;
}
