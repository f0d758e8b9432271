// framegate, as an operator changes it: another file and SIGHUP or the admin address, certificates by writing their files,
// another program by SIGUSR2.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, existsSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { accepting, freePorts } from '../../interop/lib/gateway.mjs';
import { atEnd, start } from '../../interop/lib/processes.mjs';
import { until } from '../../interop/lib/wait.mjs';
import { isAlive, memoryOf, processesOf } from './group.mjs';

const { FRAMEGATE_BIN: program, INTEROP_TMP: tmp } = process.env;

/** What lies between the two files of a certificate when something renews it: long enough for the gateway to look. */
const BETWEEN_FILES_MS = 300;
const PATIENCE_MS = 20_000;

const NOT_RELOADED = 'not reloaded; the running configuration stands';

export class Framegate {
  static key = 'framegate';
  static title = 'framegate';
  /** Sessions of a route that is gone are told so. */
  endsRemovedRoutes = true;
  #process;
  #lines = [];
  #read = 0;
  #heard = 0;
  #reloads = 0;

  static version() {
    return execFileSync(program, ['--version'], { encoding: 'utf8' }).trim();
  }

  static isThere = () => existsSync(program);

  /** `routes`: names, each of them a path below it. */
  static async start({ backend, routes, shutdown, tls = true }) {
    const gateway = new Framegate();
    Object.assign(gateway, { backend, shutdown, tls, file: join(tmp, 'framegate.toml') });
    [gateway.port] = await freePorts(1);
    gateway.installPair(0);
    gateway.#write(routes);
    gateway.#process = start(program, ['run', '--config', gateway.file]);
    gateway.pid = gateway.#process.child.pid;
    // Whoever took over is nobody's child here.
    atEnd(() => isAlive(gateway.pid) && process.kill(gateway.pid, 'SIGKILL'));
    await accepting(gateway.port, gateway.#process);
    return gateway;
  }

  #write(routes, more = '') {
    const route = (name) => `[[route]]\nname = "${name}"\npath = "/${name}/*"\nbackend = "ws://127.0.0.1:${this.backend}"\n`;
    const tls = this.tls ? `tls = { cert = "${tmp}/site.pem", key = "${tmp}/site.key" }\n` : '';
    const bind = `bind = "127.0.0.1:${this.port}"`;
    const admin = `[admin]\nbind = "unix:${tmp}/admin.sock"\n`;
    const log = '[log]\nformat = "json"\n';
    const shutdown = `[shutdown]\n${this.shutdown}\n`;
    const listener = `[[listener]]\nname = "public"\n${bind}\n${tls}`;
    writeFileSync(this.file, [admin, log, shutdown, listener, ...routes.map(route), more].join('\n'));
  }

  /** Every line of the log so far. */
  lines() {
    const text = this.#process.output();
    const end = text.lastIndexOf('\n') + 1;
    for (const line of text.slice(this.#read, end).split('\n')) {
      if (line.startsWith('{')) this.#lines.push(JSON.parse(line));
    }
    this.#read = end;
    return this.#lines;
  }

  /** The next line, after the one that was waited for before, that is this. */
  async says(what, matches) {
    return until(what, () => {
      const at = this.lines().findIndex((line, index) => index >= this.#heard && matches(line));
      if (at < 0) return undefined;
      this.#heard = at + 1;
      return this.#lines[at];
    }, PATIENCE_MS);
  }

  async withRoutes(...routes) {
    this.#write(routes);
    return this.#reload();
  }

  /** By signal and over the admin address in turn. */
  async #reload() {
    this.#reloads += 1;
    if (this.#reloads % 2 === 0) {
      const { status, body } = await this.ask('POST', '/reload', {});
      if (status !== 200) throw new Error(`reload: ${status} ${body}`);
      return;
    }
    process.kill(this.pid, 'SIGHUP');
    const line = await this.says('a reload', ({ message }) => message === 'reloaded' || message === NOT_RELOADED);
    if (line.message !== 'reloaded') throw new Error(`not reloaded: ${line.problem}`);
  }

  /** A file with a mistake in it; the next good one replaces it. */
  async breakConfiguration(...routes) {
    this.#write(routes, 'colour = "green"');
    this.#reloads += 1;
    if (this.#reloads % 2 === 0) {
      const { status, body } = await this.ask('POST', '/reload', {});
      if (status !== 422 || !body.includes('colour')) throw new Error(`a broken file: ${status} ${body}`);
    } else {
      process.kill(this.pid, 'SIGHUP');
    }
    const { problem } = await this.says('why not', ({ message }) => message === NOT_RELOADED);
    if (!problem.includes('colour')) throw new Error(`another problem: ${problem}`);
  }

  installPair(number) {
    for (const kind of ['key', 'pem']) copyFileSync(join(tmp, `pair-${number}.${kind}`), join(tmp, `site.${kind}`));
  }

  /** One file after the other, and nothing else: it has to notice by itself. */
  async swapCertificate(number) {
    copyFileSync(join(tmp, `pair-${number}.key`), join(tmp, 'site.key'));
    await pause(BETWEEN_FILES_MS);
    copyFileSync(join(tmp, `pair-${number}.pem`), join(tmp, 'site.pem'));
  }

  /** Returns once another process has the listeners; `gone` resolves when the old one is. */
  async handOver() {
    const old = this.pid;
    process.kill(old, 'SIGUSR2');
    const line = await this.says('a hand-over', ({ message }) => /handed over/.test(message ?? ''));
    if (!Number.isInteger(line.pid)) throw new Error(`${line.message}: ${line.problem}`);
    this.pid = line.pid;
    return { old, gone: until('the old process to end', () => !isAlive(old), PATIENCE_MS) };
  }

  pids = () => processesOf(program);

  memory = () => this.pids().reduce((sum, pid) => sum + memoryOf(pid), 0);

  async ask(method, path, body) {
    const headers = { host: 'localhost', ...(body && { 'content-type': 'application/json' }) };
    const asked = request({ socketPath: join(tmp, 'admin.sock'), method, path, headers, agent: false, timeout: PATIENCE_MS });
    asked.end(body && JSON.stringify(body));
    const [response] = await once(asked, 'response');
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    return { status: response.statusCode, body: text };
  }

  async metrics() {
    const { status, body } = await this.ask('GET', '/metrics');
    if (status !== 200) throw new Error(`metrics: ${status} ${body}`);
    return body;
  }

  signal(name) {
    process.kill(this.pid, name);
  }

  get exited() {
    return this.#process.exited;
  }

  async stop() {
    if (isAlive(this.pid)) process.kill(this.pid, 'SIGTERM');
    await until('the gateway to end', () => !isAlive(this.pid), PATIENCE_MS);
  }

  /** The last of it, sessions that ended in good order left out. */
  printLog() {
    const isNews = (line) => !line.includes('"target":"framegate::access"');
    const lines = this.#process.output().trimEnd().split('\n').filter(isNews);
    for (const line of lines.slice(-40)) console.error(`# framegate: ${line.slice(0, 300)}`);
  }
}
