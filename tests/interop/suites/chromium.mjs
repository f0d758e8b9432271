// A real browser: it loads a page through the gateway and opens WebSockets to where the page came from. Then pages
// from elsewhere try the same, and must get nowhere.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { startBrowser } from '../lib/browser.mjs';
import { listen } from '../lib/processes.mjs';
import { echo, WsBackend } from '../lib/wspeer.mjs';

// The icon keeps the browser from asking for /favicon.ico at a moment of its own choice.
const PAGE = '<!doctype html><meta charset="utf-8"><title>interop</title><link rel="icon" href="data:,">';
const sendPage = ({ url }, response) => {
  // A sandboxed page has an opaque origin: its browser sends `Origin: null`.
  const headers = url === '/sandboxed' ? { 'Content-Security-Policy': 'sandbox allow-scripts' } : {};
  response.writeHead(200, { 'Content-Type': 'text/html', ...headers }).end(PAGE);
};

// One row a way of opening a WebSocket: the listener's keys, the protocol the page comes by, the status it opens with.
const LISTENERS = [{ name: 'h1', keys: {}, protocol: 'http/1.1', opensWith: 101 }];

export async function run(context) {
  const { checkGateway, startGateway, certificates, chromium, direct } = context;
  const backend = await WsBackend.start({
    onConnection: echo,
    perMessageDeflate: true,
    handleProtocols: (offered) => (offered.has('two') ? 'two' : false),
    handlers: { '/app/page': sendPage },
  });
  const listeners = direct ? LISTENERS.slice(0, 1) : LISTENERS;
  const gateway = await startGateway({
    listeners: listeners.map(({ keys }) => keys),
    routes: [{ path: '/app/*', backend: backend.url }],
  });
  const browser = await startBrowser(chromium);

  for (const [index, listener] of listeners.entries()) {
    const page = await browser.newPage();
    await sameOrigin(context, { page, backend, gateway, index, ...listener });
    await page.close();
  }

  const elsewhere = await listen(createServer({ cert: certificates.cert, key: certificates.key }, sendPage));
  for (const [index, { name }] of listeners.entries()) {
    for (const [who, url] of [
      ['a page from the same host on another port', `https://localhost:${elsewhere}/`],
      ['a page from another host', `https://127.0.0.1:${elsewhere}/`],
      ['a sandboxed page', `https://localhost:${elsewhere}/sandboxed`],
    ]) {
      await checkGateway(`${name}: ${who} is refused, and the server never asked`, async () => {
        const page = await browser.newPage();
        await page.goto(url);
        const before = backend.requests;
        const intrusion = { url: gateway.wss('/app/intruder', index), send: ['let me in'], close: [1000] };
        const seen = await page.evaluate(converse, intrusion);
        assert.deepEqual(seen, { opened: false, received: [], readyState: 3, code: 1006, reason: '', wasClean: false });
        assert.equal(backend.requests, before, 'the backend was asked');
        await page.close();
      });
    }
  }
}

/** What a page may do where it came from. */
async function sameOrigin({ check, direct }, { page, backend, gateway, index, name, protocol, opensWith }) {
  const talk = (path, script) => page.evaluate(converse, { url: gateway.wss(path, index), ...script });

  await check(`${name}: a page comes through the gateway`, async () => {
    const response = await page.goto(gateway.https('/app/page', index));
    assert.equal(response.status(), 200);
    assert.equal(await page.title(), 'interop');
    const used = await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
    assert.equal(used, protocol);
  });

  await check(`${name}: its WebSocket opens the way this listener should offer`, async () => {
    // The status that the browser's own network log has for the handshake: 101 for an Upgrade, 200 for RFC 8441.
    const network = await page.context().newCDPSession(page);
    await network.send('Network.enable');
    const answered = once(network, 'Network.webSocketHandshakeResponseReceived');
    await talk(`/app/${name}/opens`, { send: [], close: [1000] });
    assert.equal((await answered)[0].response.status, opensWith);
  });

  await check(`${name}: text and binary`, async () => {
    const send = ['Grüße, 世界 🌍', '', [0, 1, 127, 128, 255], []];
    const path = `/app/${name}/echo`;
    const seen = await talk(path, { send, close: [1000] });
    assert.deepEqual(seen.received, send);
    const { request } = await backend.peer(path);
    assert.equal(request.headers.origin, `https://${gateway.authority(index)}`);
    if (!direct) assert.equal(request.headers['x-forwarded-proto'], 'https');
  });

  await check(`${name}: permessage-deflate, agreed and used`, async () => {
    const path = `/app/${name}/deflate`;
    const size = 1024 * 1024;
    const seen = await talk(path, { send: ['framegate '.repeat(size / 10)], close: [1000] });
    const { socket, request } = await backend.peer(path);
    assert.match(request.headers['sec-websocket-extensions'] ?? '', /permessage-deflate/, 'offered to the server');
    assert.match(seen.extensions, /permessage-deflate/, 'agreed at the browser');
    assert.match(socket.extensions, /permessage-deflate/, 'agreed at the server');
    assert.equal(seen.received[0].length, Math.floor(size / 10) * 10);
    assert.ok(request.socket.bytesRead < size / 10, `${request.socket.bytesRead} bytes came for ${size}`);
  });

  await check(`${name}: 1 MiB that does not compress`, async () => {
    const same = await page.evaluate(async (url) => {
      const sent = new Uint8Array(1024 * 1024);
      for (let at = 0; at < sent.length; at += 65536) crypto.getRandomValues(sent.subarray(at, at + 65536));
      const socket = new WebSocket(url);
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => socket.send(sent);
      const { data } = await new Promise((resolve, reject) => {
        socket.onmessage = resolve;
        socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
      });
      const got = new Uint8Array(data);
      return got.length === sent.length && got.every((byte, at) => byte === sent[at]);
    }, gateway.wss(`/app/${name}/big`, index));
    assert.ok(same, 'something else came back');
  });

  await check(`${name}: subprotocol`, async () => {
    const seen = await talk(`/app/${name}/protocol`, { protocols: ['one', 'two'], send: [], close: [1000] });
    assert.equal(seen.protocol, 'two');
  });

  for (const [what, close, expected] of [
    ["4001 'bye'", [4001, 'bye'], { code: 4001, reason: 'bye' }],
    ['an empty Close', [], { code: 1005, reason: '' }],
  ]) {
    await check(`${name}: the page closes with ${what}`, async () => {
      const path = `/app/${name}/page-closes-${expected.code}`;
      const { code, reason, wasClean, readyState } = await talk(path, { send: ['x'], close });
      assert.deepEqual({ code, reason, wasClean, readyState }, { ...expected, wasClean: true, readyState: 3 });
      assert.deepEqual(await (await backend.peer(path)).closed(), expected, 'at the server');
    });

    await check(`${name}: the server closes with ${what}`, async () => {
      const path = `/app/${name}/server-closes-${expected.code}`;
      backend.peer(path).then(({ socket }) => socket.close(...close));
      const { code, reason, wasClean } = await talk(path, { send: [] });
      assert.deepEqual({ code, reason, wasClean }, { ...expected, wasClean: true });
    });
  }
}

/**
 * Runs in the page. Opens a WebSocket, sends what there is to send, closes (if told how) when as many messages have
 * come back, and tells what it saw. Bytes are written as an array of numbers.
 */
function converse({ url, protocols = [], send, close }) {
  const seen = { opened: false, received: [] };
  const socket = new WebSocket(url, protocols);
  socket.binaryType = 'arraybuffer';
  const closeWhenDone = () => close && seen.received.length === send.length && socket.close(...close);
  socket.onopen = () => {
    Object.assign(seen, { opened: true, extensions: socket.extensions, protocol: socket.protocol });
    for (const message of send) socket.send(typeof message === 'string' ? message : new Uint8Array(message));
    closeWhenDone();
  };
  socket.onmessage = ({ data }) => {
    seen.received.push(typeof data === 'string' ? data : [...new Uint8Array(data)]);
    closeWhenDone();
  };
  return new Promise((resolve) => {
    socket.onclose = ({ code, reason, wasClean }) => {
      resolve({ ...seen, readyState: socket.readyState, code, reason, wasClean });
    };
  });
}
