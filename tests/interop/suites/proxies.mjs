// HAProxy in front of the gateway and nginx behind it, both in the words of the PROXY protocol: implementations that are
// not ours say who the client is, and hear it. Clients connect from addresses of their own, all of them loopback.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepting, freePorts } from '../lib/gateway.mjs';
import { start } from '../lib/processes.mjs';
import { openClient, WsBackend } from '../lib/wspeer.mjs';

// How HAProxy is told to introduce its clients.
const KINDS = {
  'version 1': 'send-proxy',
  'version 2': 'send-proxy-v2',
  'version 2 with a checksum': 'send-proxy-v2 proxy-v2-options crc32c',
  'version 2 with extensions': 'send-proxy-v2 proxy-v2-options authority,unique-id,crc32c',
};

export async function run(context) {
  if (context.direct) return context.skip('everything', 'needs the gateway');
  const backend = await WsBackend.start();
  if (installed('haproxy', '-v')) await inFront(context, backend);
  else context.skip('HAProxy in front', 'haproxy is not installed');
  if (installed('nginx', '-v')) await behind(context, backend);
  else context.skip('nginx behind', 'nginx is not installed');
}

/** Client → HAProxy, which looks at nothing → gateway, which ends TLS or has none → backend. */
async function inFront({ check, startGateway, certificates, tmp }, backend) {
  const gateway = await startGateway({
    top: { trusted_proxies: ['127.0.0.1'] },
    listeners: [{ proxy_protocol: 'require' }],
    routes: [{ backend: backend.url }],
  });
  const ports = await freePorts(Object.keys(KINDS).length);
  const file = join(tmp, 'haproxy.cfg');
  const defaults = ['mode tcp', 'timeout connect 5s', 'timeout client 1m', 'timeout server 1m'];
  const pieces = Object.values(KINDS).map((kind, index) => [
    `listen kind-${index}`,
    `bind 127.0.0.1:${ports[index]}`,
    'unique-id-format %{+X}o%ci:%cp',
    `server gateway 127.0.0.1:${gateway.ports[0]} ${kind}`,
  ]);
  writeFileSync(file, [['defaults', ...defaults], ...pieces].map((lines) => lines.join('\n  ')).join('\n\n') + '\n');
  const haproxy = start('haproxy', ['-db', '-f', file]);
  for (const port of ports) await accepting(port, haproxy);

  for (const [index, name] of Object.keys(KINDS).entries()) {
    await check(`HAProxy in front, ${name}`, async () => {
      const path = `/in/${index}`;
      const localAddress = `127.0.1.${index + 1}`;
      const client = await openClient(`wss://localhost:${ports[index]}${path}`, { ca: certificates.ca, localAddress });
      const server = await backend.peer(path);
      assert.equal(server.request.headers['x-forwarded-for'], localAddress);
      assert.equal(server.request.headers['x-forwarded-proto'], 'https');
      client.socket.send('hello');
      assert.equal(await server.message(), 'hello');
      client.socket.terminate();
    });
  }
}

/** Client → gateway → nginx, which takes no connection without a header → backend. */
async function behind({ check, startGateway, certificates, tmp }, backend) {
  const [plain, tls] = await freePorts(2);
  const folder = join(tmp, 'nginx');
  mkdirSync(folder);
  const file = join(folder, 'nginx.conf');
  writeFileSync(file, nginxConfiguration({ folder, plain, tls, backend, certificates }));
  const nginx = start('nginx', ['-p', folder, '-c', file]);
  for (const port of [plain, tls]) await accepting(port, nginx);
  const gateway = await startGateway({
    backends: [
      { name: 'plain', servers: [`ws://127.0.0.1:${plain}`], send_proxy: 'v2' },
      { name: 'tls', servers: [`wss://localhost:${tls}`], send_proxy: 'v2', tls: { ca: certificates.caFile } },
    ],
    routes: ['plain', 'tls'].map((name) => ({ path: `/${name}/*`, backend: name })),
  });

  for (const [index, name] of ['plain', 'tls'].entries()) {
    await check(`nginx behind, ${name}`, async () => {
      const path = `/${name}/1`;
      const localAddress = `127.0.2.${index + 1}`;
      const client = await openClient(gateway.wss(path), { ca: certificates.ca, localAddress });
      const { port } = client.socket._socket.address();
      const server = await backend.peer(path);
      assert.equal(server.request.headers['x-introduced'], `${localAddress}:${port}`);
      assert.equal(server.request.headers['x-called'], `127.0.0.1:${gateway.ports[0]}`);
      server.socket.send('hello');
      assert.equal(await client.message(), 'hello');
      client.socket.terminate();
    });
  }
}

function nginxConfiguration({ folder, plain, tls, backend, certificates }) {
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const temporary = kinds.map((kind) => `${kind}_temp_path ${folder}/${kind};`);
  return `
daemon off;
master_process off;
pid ${folder}/nginx.pid;
error_log stderr;
events { worker_connections 64; }
http {
  access_log off;
  ${temporary.join('\n  ')}
  server {
    listen 127.0.0.1:${plain} proxy_protocol;
    listen 127.0.0.1:${tls} ssl proxy_protocol;
    ssl_certificate ${certificates.certFile};
    ssl_certificate_key ${certificates.keyFile};
    location / {
      proxy_pass http://127.0.0.1:${backend.port};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection upgrade;
      proxy_set_header X-Introduced $proxy_protocol_addr:$proxy_protocol_port;
      proxy_set_header X-Called $proxy_protocol_server_addr:$proxy_protocol_server_port;
    }
  }
}
`;
}

function installed(program, ...args) {
  try {
    execFileSync(program, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
