// HAProxy, as an operator changes it: another file, checked, and SIGUSR2 to the master, which is what its systemd unit does.
// The master starts itself anew each time, so another program comes the same way.

import { execFile, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { accepting, freePorts } from '../../interop/lib/gateway.mjs';
import { atEnd, start } from '../../interop/lib/processes.mjs';
import { until } from '../../interop/lib/wait.mjs';
import { memoryOf, processesOf, signalAll } from './group.mjs';
import { find, isInstalled } from './programs.mjs';

const run = promisify(execFile);
const tmp = process.env.INTEROP_TMP;

export class HAProxy {
  static key = 'haproxy';
  static title = 'HAProxy';
  #process;
  #workers = new Set();

  static isThere = () => isInstalled('haproxy');

  static version() {
    const said = execFileSync(find('haproxy'), ['-v'], { encoding: 'utf8' });
    return said.replace(/^HAProxy version (\S+?)[-~ ][^]*/, 'HAProxy $1');
  }

  /** `patience`: after it old workers are ended with what they still have; without it they stay. */
  static async start({ backend, routes, patience }) {
    const haproxy = new HAProxy();
    haproxy.folder = join(tmp, `haproxy-${patience ?? 'default'}`);
    mkdirSync(haproxy.folder, { recursive: true });
    Object.assign(haproxy, { backend, patience, program: find('haproxy'), file: join(haproxy.folder, 'haproxy.cfg') });
    [haproxy.port] = await freePorts(1);
    haproxy.installPair(0);
    haproxy.#write(routes);
    haproxy.#process = start(haproxy.program, ['-W', '-f', haproxy.file, '-p', join(haproxy.folder, 'haproxy.pid')]);
    haproxy.master = haproxy.#process.child.pid;
    atEnd(() => signalAll(haproxy.pids(), 'SIGKILL'));
    await accepting(haproxy.port, haproxy.#process);
    haproxy.#workers = new Set(haproxy.pids());
    return haproxy;
  }

  #write(routes, more = '') {
    writeFileSync(this.file, `
global
  nbthread 2
  maxconn 4096
  # With it a reload hands the listening sockets on; Debian's own file has it too.
  stats socket ${this.folder}/haproxy.sock mode 600 level admin expose-fd listeners
  log stdout format raw local0 info
  ${this.patience ? `hard-stop-after ${this.patience}` : ''}
defaults
  mode http
  log global
  option httplog
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
frontend site
  bind 127.0.0.1:${this.port} ssl crt ${this.folder}/site.both alpn http/1.1
  http-request return status 404 unless ${routes.map((name) => `{ path_beg /${name}/ }`).join(' || ')}
  default_backend server
backend server
  server one 127.0.0.1:${this.backend}
${more}
`);
  }

  async #reload() {
    await run(this.program, ['-c', '-q', '-f', this.file]);
    process.kill(this.master, 'SIGUSR2');
    // A master that is reloaded again before it has its worker forgets about the first one's.
    await until('a new worker', () => this.pids().some((pid) => !this.#workers.has(pid)));
    this.#workers = new Set(this.pids());
  }

  async withRoutes(...routes) {
    this.#write(routes);
    await this.#reload();
  }

  async breakConfiguration(...routes) {
    this.#write(routes, 'colour green');
    const said = await run(this.program, ['-c', '-q', '-f', this.file]).catch((error) => error);
    if (!(said instanceof Error)) throw new Error('it took a broken file');
  }

  installPair(number) {
    const [pem, key] = ['pem', 'key'].map((kind) => readFileSync(join(tmp, `pair-${number}.${kind}`), 'utf8'));
    writeFileSync(join(this.folder, 'site.both'), pem + key);
  }

  async swapCertificate(number) {
    this.installPair(number);
    await this.#reload();
  }

  async handOver() {
    await this.#reload();
    return { old: undefined, gone: Promise.resolve() };
  }

  pids = () => processesOf(this.program);

  memory = () => this.pids().reduce((sum, pid) => sum + memoryOf(pid), 0);

  async stop() {
    for (const signal of ['SIGTERM', 'SIGKILL']) {
      signalAll(this.pids(), signal);
      await until('HAProxy to end', () => this.pids().length === 0, 5000).catch(() => {});
    }
  }

  printLog() {
    for (const line of this.#process.output().trimEnd().split('\n').slice(-20)) console.error(`# HAProxy: ${line}`);
  }
}
