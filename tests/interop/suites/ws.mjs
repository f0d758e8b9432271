// The `ws` package at both ends: messages, control frames, closing, and what the handshake carries.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { openClient, WsBackend } from '../lib/wspeer.mjs';

const MIB = 1024 * 1024;
// As a client may write it: escapes in both cases, a broken one, empty parts, dots and slashes, what some URL
// libraries would encode or sort. Nothing here is the gateway's to touch.
const QUERY = '?b=%2F%2e%2E&a=1+2&&c==;d[]=x&e=%e4%bd%a0&%zz&p=//../x&{|}^~?last';
const COOKIES = ['session=a b/c==; Path=/; HttpOnly', 'theme=dark; Expires=Wed, 21 Oct 2037 07:28:00 GMT'];
const LISTED_ORIGIN = 'https://app.example';

export async function run({ check, checkGateway, startGateway, certificates }) {
  const backend = await WsBackend.start({
    setCookies: COOKIES,
    handleProtocols: (offered) => (offered.has('two') ? 'two' : false),
    handlers: { '/ws/denied': deny },
  });
  const gateway = await startGateway({
    routes: [
      { path: '/ws/*', backend: backend.url },
      { path: '/listed/*', backend: backend.url, origin: { allow_missing: true, allowed: [LISTED_ORIGIN] } },
    ],
  });

  let paths = 0;
  const newPath = () => `/ws/${(paths += 1)}`;
  const open = (path, options) => openClient(gateway.wss(path), { ca: certificates.ca, ...options });

  /** Both ends of a new connection; the client is ended when `body` is done with them. */
  async function paired(options, body) {
    const path = newPath();
    const client = await open(path + (options.query ?? ''), options);
    try {
      await body(client, await backend.peer(path));
    } finally {
      client.socket.terminate();
    }
  }

  /** A check that the same thing arrives in both directions. */
  const arrives = (name, message) =>
    check(name, () =>
      paired({}, async (client, server) => {
        client.socket.send(message);
        assert.ok(same(await server.message(), message), 'the server got something else');
        server.socket.send(message);
        assert.ok(same(await client.message(), message), 'the client got something else');
      }),
    );

  await arrives('text', 'Grüße, 世界 🌍');
  await arrives('binary', Buffer.from([0, 1, 127, 128, 255, 0]));
  await arrives('empty text', '');
  await arrives('empty binary', Buffer.alloc(0));
  await arrives('1 MiB of text', '€🌍a'.repeat(MIB / 8));
  await arrives('1 MiB of binary', randomBytes(MIB));
  for (const length of [125, 126, 65535, 65536]) await arrives(`${length} bytes`, randomBytes(length));

  await check('fragments, with a ping between them', () =>
    paired({ perMessageDeflate: false }, async (client, server) => {
      for (const [from, to] of [[client, server], [server, client]]) {
        from.socket.send('frag', { fin: false });
        from.socket.ping('between');
        from.socket.send('', { fin: false });
        // The snowman's bytes are in two frames: only the whole message is UTF-8.
        from.socket.send(Buffer.from([0xe2, 0x98]), { fin: false });
        assert.equal(await from.pong(), 'between');
        from.socket.send(Buffer.from([0x83]), { fin: true });
        assert.equal(await to.message(), 'frag☃');
      }
    }),
  );

  await check('a thousand messages keep their order', () =>
    paired({}, async (client, server) => {
      for (let n = 0; n < 1000; n += 1) client.socket.send(String(n));
      for (let n = 0; n < 1000; n += 1) assert.equal(await server.message(), String(n));
    }),
  );

  await check('pings from the client are answered with their payload', () =>
    paired({}, async (client) => {
      for (const payload of ['one', '', 'x'.repeat(125)]) {
        client.socket.ping(payload);
        assert.equal(await client.pong(), payload);
      }
    }),
  );

  await check('pings from the server are answered with their payload', () =>
    paired({}, async (_, server) => {
      server.socket.ping('from the server');
      assert.equal(await server.pong(), 'from the server');
    }),
  );

  // ---- closing: the peer's own code and reason, both ways ------------------------------------------------------
  const longest = 'ü'.repeat(61) + 'z'; // 123 bytes, the most that a Close can carry
  const closings = [
    ["4001 'bye'", [4001, 'bye'], { code: 4001, reason: 'bye' }],
    ['1000 without a reason', [1000], { code: 1000, reason: '' }],
    ['an empty Close', [], { code: 1005, reason: '' }],
    ['the longest reason', [3999, longest], { code: 3999, reason: longest }],
  ];
  for (const [name, args, expected] of closings) {
    for (const closer of ['client', 'server']) {
      await check(`${closer} closes with ${name}`, () =>
        paired({}, async (client, server) => {
          (closer === 'client' ? client : server).socket.close(...args);
          assert.deepEqual(await server.closed(), expected, 'at the server');
          assert.deepEqual(await client.closed(), expected, 'at the client');
        }),
      );
    }
  }

  await check('what was sent ahead of a Close is delivered', () =>
    paired({}, async (client, server) => {
      const last = randomBytes(MIB);
      server.socket.send(last);
      server.socket.close(4002, 'that was all');
      assert.ok(same(await client.message(), last));
      assert.deepEqual(await client.closed(), { code: 4002, reason: 'that was all' });
    }),
  );

  await checkGateway('a server that vanishes: the client is told 1012', () =>
    paired({}, async (client, server) => {
      server.socket.terminate();
      assert.equal((await client.closed()).code, 1012);
    }),
  );

  await checkGateway('a client that vanishes: the server is told 1001', () =>
    paired({}, async (client, server) => {
      client.socket.terminate();
      assert.equal((await server.closed()).code, 1001);
    }),
  );

  // ---- the handshake -----------------------------------------------------------------------------------------
  await check('subprotocols: offered in order, the chosen one comes back', () =>
    paired({ protocols: ['one', 'two', 'three'] }, async (client, server) => {
      assert.match(server.request.headers['sec-websocket-protocol'], /^one, ?two, ?three$/);
      assert.equal(client.socket.protocol, 'two');
    }),
  );

  await check('subprotocols: none offered, none chosen', () =>
    paired({}, async (client, server) => {
      assert.equal(server.request.headers['sec-websocket-protocol'], undefined);
      assert.equal(client.socket.protocol, '');
    }),
  );

  await check('headers of the client reach the server', () => {
    const headers = { Authorization: 'Bearer abc.def', Cookie: 'a=1; b="2 3"', 'X-Tenant': 'one, two' };
    return paired({ headers }, async (_, server) => {
      assert.equal(server.request.headers.authorization, headers.Authorization);
      assert.equal(server.request.headers.cookie, headers.Cookie);
      assert.equal(server.request.headers['x-tenant'], headers['X-Tenant']);
      assert.equal(server.request.headers.host, gateway.authority(), 'Host is kept');
    });
  });

  await checkGateway('the server is told who connected, and how', () =>
    paired({}, async (_, { request: { headers } }) => {
      assert.equal(headers['x-forwarded-for'], '127.0.0.1');
      assert.equal(headers['x-forwarded-proto'], 'https');
      assert.equal(headers['x-forwarded-host'], gateway.authority());
      assert.equal(headers['x-forwarded-port'], String(gateway.ports[0]));
      assert.match(headers.forwarded ?? '', /(^|;)\s*for="?127\.0\.0\.1/i);
      assert.match(headers.forwarded, /;?\s*proto="?https"?/i);
      assert.match(headers['x-request-id'] ?? '', /^\S{8,}$/);
    }),
  );

  await checkGateway('X-Forwarded-* and Forwarded made up by the client are replaced', () => {
    const headers = {
      'X-Forwarded-For': '203.0.113.7',
      'X-Forwarded-Proto': 'http',
      'X-Forwarded-Host': 'forged.example',
      Forwarded: 'for=203.0.113.7;proto=http;host=forged.example',
    };
    return paired({ headers }, async (_, server) => {
      const seen = server.request.headers;
      assert.equal(seen['x-forwarded-for'], '127.0.0.1');
      assert.equal(seen['x-forwarded-proto'], 'https');
      assert.equal(seen['x-forwarded-host'], gateway.authority());
      assert.doesNotMatch(seen.forwarded, /203\.0\.113\.7|forged/);
    });
  });

  await check('cookies set on the 101 reach the client', () =>
    paired({}, async (client) => assert.deepEqual(client.response.headers['set-cookie'], COOKIES)),
  );

  await check('the query string arrives byte for byte', () =>
    paired({ query: QUERY }, async (_, server) => {
      assert.equal(server.request.url.slice(server.request.url.indexOf('?')), QUERY);
    }),
  );

  await check("the server's own refusal reaches the client as it is", async () => {
    const { status, response } = await refusal(open('/ws/denied'));
    assert.equal(status, 401);
    assert.equal(response.headers['www-authenticate'], 'Bearer realm="interop"');
    assert.equal(await text(response), 'no token, no socket');
  });

  // ---- Origin ------------------------------------------------------------------------------------------------
  for (const [name, path, origin] of [
    ['the same origin', '/ws/same-origin', `https://${gateway.authority()}`],
    ['an origin that is listed', '/listed/allowed', LISTED_ORIGIN],
  ]) {
    await check(`${name} may connect`, async () => {
      const client = await open(path, { origin });
      assert.equal((await backend.peer(path)).request.headers.origin, origin);
      client.socket.terminate();
    });
  }

  for (const [name, path, origin] of [
    ['another origin', '/ws/refused', 'https://evil.example'],
    ['the same host on another port', '/ws/refused', 'https://localhost:1'],
    ['an origin that only ends like a listed one', '/listed/refused', 'https://evil-app.example'],
  ]) {
    await checkGateway(`${name} is refused, and the server never asked`, async () => {
      const before = backend.requests;
      const { status, response } = await refusal(open(path, { origin }));
      assert.equal(status, 403);
      assert.ok(response.headers['x-framegate-cause'], 'x-framegate-cause is missing');
      assert.equal(backend.requests, before);
    });
  }
}

function deny(_, socket) {
  const body = 'no token, no socket';
  socket.end(
    'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer realm="interop"\r\n' +
      `Content-Type: text/plain\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
}

/** Equal in kind and content. assert.deepEqual would print a mebibyte when they differ. */
const same = (a, b) => (typeof b === 'string' ? a === b : Buffer.isBuffer(a) && a.equals(b));

async function refusal(opening) {
  let client;
  try {
    client = await opening;
  } catch (error) {
    if (error.status) return error;
    throw error;
  }
  client.socket.terminate();
  throw new Error('it was not refused');
}

async function text(response) {
  let body = '';
  for await (const chunk of response.setEncoding('utf8')) body += chunk;
  return body;
}
