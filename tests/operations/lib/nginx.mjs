// nginx, as an operator changes it: another file and `nginx -s reload`, which is what its systemd unit does; a new program
// by SIGUSR2 and SIGQUIT to the old master.

import { execFile, execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { accepting, freePorts } from '../../interop/lib/gateway.mjs';
import { atEnd, start } from '../../interop/lib/processes.mjs';
import { until } from '../../interop/lib/wait.mjs';
import { memoryOf, processesOf, signalAll } from './group.mjs';
import { find, isInstalled } from './programs.mjs';

const run = promisify(execFile);
const tmp = process.env.INTEROP_TMP;

export class Nginx {
  static key = 'nginx';
  static title = 'nginx';
  #process;

  static isThere = () => isInstalled('nginx');

  static version() {
    // It says so on stderr.
    return execFileSync('sh', ['-c', `${find('nginx')} -v 2>&1`], { encoding: 'utf8' }).trim().replace(/^.*nginx\//, 'nginx ');
  }

  /** `patience`: after it old workers cut what they still have; without it they stay. */
  static async start({ backend, routes, patience }) {
    const nginx = new Nginx();
    nginx.folder = join(tmp, `nginx-${patience ?? 'default'}`);
    mkdirSync(nginx.folder, { mode: 0o755, recursive: true });
    Object.assign(nginx, { backend, patience, program: find('nginx'), file: join(nginx.folder, 'nginx.conf') });
    [nginx.port] = await freePorts(1);
    nginx.installPair(0);
    nginx.#write(routes);
    const options = ['-c', nginx.file, '-e', join(nginx.folder, 'error.log')];
    nginx.options = options;
    // In our process group, where whoever is left at the end is found; but nobody's child, as after a start by systemd: a
    // master whose parent has not changed since then takes no SIGUSR2.
    const orphan = '"$@" & until [ -s "$0" ]; do sleep 0.02; done';
    const command = [join(nginx.folder, 'nginx.pid'), nginx.program, ...options, '-g', 'daemon off;'];
    nginx.#process = start('sh', ['-c', orphan, ...command]);
    atEnd(() => signalAll(nginx.pids(), 'SIGKILL'));
    await accepting(nginx.port, { exited: new Promise(() => {}), output: nginx.#process.output });
    return nginx;
  }

  #write(routes, more = '') {
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    const location = (name) => `
    location /${name}/ {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
    }`;
    writeFileSync(this.file, `
worker_processes 2;
pid ${this.folder}/nginx.pid;
${this.patience ? `worker_shutdown_timeout ${this.patience};` : ''}
events { worker_connections 4096; }
http {
  ${temporary.map((kind) => `${kind}_temp_path ${this.folder}/${kind};`).join(' ')}
  access_log ${this.folder}/access.log combined;
  upstream backend { server 127.0.0.1:${this.backend}; }
  server {
    listen 127.0.0.1:${this.port} ssl;
    ssl_certificate ${this.folder}/site.pem;
    ssl_certificate_key ${this.folder}/site.key;
    ${routes.map(location).join('')}
    location / { return 404; }
  }
}
${more}
`);
  }

  async withRoutes(...routes) {
    this.#write(routes);
    await run(this.program, [...this.options, '-s', 'reload']);
  }

  async breakConfiguration(...routes) {
    this.#write(routes, 'colour green;');
    const said = await run(this.program, [...this.options, '-s', 'reload']).catch((error) => error);
    if (!(said instanceof Error)) throw new Error('it took a broken file');
  }

  installPair(number) {
    for (const kind of ['key', 'pem']) copyFileSync(join(tmp, `pair-${number}.${kind}`), join(this.folder, `site.${kind}`));
  }

  async swapCertificate(number) {
    this.installPair(number);
    await run(this.program, [...this.options, '-s', 'reload']);
  }

  async handOver() {
    const file = join(this.folder, 'nginx.pid');
    const master = () => Number(readFileSync(file, 'utf8'));
    const old = master();
    process.kill(old, 'SIGUSR2');
    // The new master writes its own id there, and the old one's is kept beside it.
    await until('a new master', () => {
      try {
        return master() !== old;
      } catch {
        return false;
      }
    });
    process.kill(old, 'SIGQUIT');
    return { old, gone: Promise.resolve() };
  }

  pids = () => processesOf(this.program);

  memory = () => this.pids().reduce((sum, pid) => sum + memoryOf(pid), 0);

  async stop() {
    for (const signal of ['SIGTERM', 'SIGKILL']) {
      signalAll(this.pids(), signal);
      await until('nginx to end', () => this.pids().length === 0, 5000).catch(() => {});
    }
  }

  printLog() {
    console.error(`# nginx: ${this.#process.output().slice(-2000)}`);
    console.error(`# nginx: ${readFileSync(join(this.folder, 'error.log'), 'utf8').slice(-2000)}`);
  }
}
