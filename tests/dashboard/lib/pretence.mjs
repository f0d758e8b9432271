// What a gateway would say of itself, made up: sessions that come, talk and go, and on a bad day names that were made to
// break a page, servers that are down, certificates that ran out, a reload that failed.

export const HOSTILE = [
  '<img src=x onerror="document.title=1">',
  '"><script>alert(1)</script>',
  'a'.repeat(600),
  'مرحبا بالعالم هذا اسم طويل جدا',
  'abc\u202Egnp.exe',
  'one\ntwo\u0000three\u200B',
];

const ROUTES = [
  { name: 'chat', host: ['chat.example'], path: '/ws/*', backend: 'chat', share: 0.62 },
  { name: 'market data', host: ['feed.example', 'feed.example.net'], path: '/v2/stream', backend: 'feed', share: 0.3 },
  { name: 'collaboration', host: [], path: '/collab/*', backend: 'docs', share: 0.06 },
  { name: 'devices', host: ['mqtt.example'], path: '/mqtt', backend: 'chat', share: 0.02 },
];
const SERVERS = {
  chat: ['10.1.0.11:9000', '10.1.0.12:9000', '10.1.0.13:9000'],
  feed: ['feed-a.internal:7001', 'feed-b.internal:7001'],
  docs: ['unix:/run/docs.sock'],
};
const DAY = 86_400;

export class Pretence {
  sessions = new Map();
  started = Math.floor(Date.now() / 1000) - 93_784;
  totals = { opened: 0, ended: 84_214, refused: 4812, fc: 9e8, fb: 31e8, bfc: 7.1e10, bfb: 4.4e11, throttled: 91_022 };
  ended = { closed: 81_022, client_lost: 2210, drain: 812, kick: 9, 'limit.message': 17, 'auth.expired': 3 };
  refused = { origin: 3100, rate: 1411, auth: 260, no_route: 38, backend_down: 3 };
  #tick = 0;
  #next = 1;

  /** `count` sessions, more or less. */
  constructor({ count, hostile }) {
    Object.assign(this, { hostile, wanted: count });
    while (this.sessions.size < count) this.#open(Math.random() * 40_000);
    this.totals.opened = this.totals.ended + count;
  }

  #name(plain) {
    return this.hostile && Math.random() < 0.5 ? HOSTILE[Math.floor(Math.random() * HOSTILE.length)] : plain;
  }

  #open(age = 0) {
    let draw = Math.random();
    const route = ROUTES.find(({ share }) => (draw -= share) < 0) ?? ROUTES[0];
    const servers = SERVERS[route.backend];
    const number = this.#next++;
    const rate = Math.random() ** 3 * 20;
    const n = age * rate;
    this.sessions.set(number, {
      number,
      id: this.#name(crypto.randomUUID().replaceAll('-', '')),
      route: this.hostile && number % 9 === 0 ? HOSTILE[number % HOSTILE.length] : route.name,
      listener: 'public',
      backend: route.backend,
      server: servers[number % servers.length],
      client:
        number % 17 === 0 ? '2001:db8:85a3:1234:5678:8a2e:370:7334' : `203.0.${number % 256}.${(number * 7) % 256}`,
      subprotocol: number % 3 ? null : this.#name('graphql-transport-ws'),
      since: Date.now() - age * 1000,
      rate,
      from_client: {
        text_messages: Math.round(n),
        text_bytes: Math.round(n * 90),
        binary_messages: 0,
        binary_bytes: 0,
        pings: 2,
        pongs: Math.round(age / 30),
      },
      from_backend: {
        text_messages: Math.round(n * 3),
        text_bytes: Math.round(n * 900),
        binary_messages: 12,
        binary_bytes: 8100,
        pings: 0,
        pongs: Math.round(age / 30),
      },
      rtt_us: {
        client: age > 20 ? Math.round(9000 + Math.random() ** 4 * 400_000) : null,
        backend: Math.round(300 + Math.random() * 900),
      },
      waiting_bytes: Math.random() < 0.03 ? Math.round(Math.random() * 90_000) : 0,
      throttled_ms: Math.random() < 0.02 ? Math.round(Math.random() * 9000) : 0,
      ending: null,
    });
    this.totals.opened += 1;
  }

  end(number, cause) {
    if (!this.sessions.delete(number)) return;
    this.totals.ended += 1;
    this.ended[cause] = (this.ended[cause] ?? 0) + 1;
  }

  /** A second passes. */
  move() {
    this.#tick += 1;
    const busy = 1 + 0.5 * Math.sin(this.#tick / 25) + (this.#tick % 90 > 70 ? 0.8 : 0);
    for (const session of this.sessions.values()) {
      const n = Math.round(session.rate * busy * Math.random() * 2);
      session.from_client.text_messages += n;
      session.from_client.text_bytes += n * 90;
      session.from_backend.text_messages += n * 3;
      session.from_backend.text_bytes += n * 2700;
      this.totals.fc += n;
      this.totals.fb += n * 3;
      this.totals.bfc += n * 90;
      this.totals.bfb += n * 2700;
    }
    for (let n = (Math.random() * this.wanted) / 40; n > 0; n -= 1) this.#open();
    for (let n = this.sessions.size - this.wanted + Math.random() * 4; n > 0; n -= 1) {
      const all = [...this.sessions.keys()];
      this.end(all[Math.floor(Math.random() ** 0.5 * all.length)], Math.random() < 0.8 ? 'closed' : 'client_lost');
    }
    const refused = Math.random() < 0.3 ? Math.floor(Math.random() * 9) : 0;
    this.totals.refused += refused;
    this.refused.origin += refused;
    this.totals.throttled += this.#tick % 60 < 12 ? Math.random() * 900 : 0;
  }

  status() {
    const live = (test) => [...this.sessions.values()].filter(test).length;
    const now = Math.floor(Date.now() / 1000);
    const wave = 1 + 0.2 * Math.sin(this.#tick / 9);
    const bad = this.hostile;
    const backends = Object.entries(SERVERS).map(([name, servers]) => ({
      name,
      servers: servers.map((server, at) => ({
        server,
        state: bad && at === 1 ? 'ejected' : 'up',
        live: live((one) => one.server === server),
      })),
    }));
    const routes = ROUTES.map(({ share, ...route }) => ({
      ...route,
      live: live((one) => one.route === route.name),
      opened: Math.round(share * this.totals.opened),
    }));
    if (bad)
      routes.push(
        ...HOSTILE.map((name) => ({
          name,
          host: [name],
          path: '/*',
          backend: 'chat',
          live: live((one) => one.route === name),
          opened: 3,
        })),
      );
    return {
      version: '0.6.0',
      pid: 4242,
      started: this.started,
      uptime_s: now - this.started,
      ready: !bad,
      workers: 4,
      config: {
        file: '/etc/framegate/framegate.toml',
        generation: 12,
        loaded: now - 11_000,
        last_reload: bad
          ? { at: now - 190, ok: false, problem: `framegate.toml:12:8: route.path: ${HOSTILE[0]}` }
          : { at: now - 11_000, ok: true, problem: null },
      },
      sessions: {
        live: this.sessions.size,
        opened: this.totals.opened,
        ended: this.totals.ended,
        refused: this.totals.refused,
      },
      listeners: [
        { name: 'public', bind: '0.0.0.0:443', tls: true, connections: this.sessions.size + 31 },
        { name: 'inside', bind: 'unix:/run/framegate/ws.sock', tls: false, connections: 2 },
      ],
      routes,
      backends,
      certificates: [
        {
          listener: 'public',
          file: 'tls/example.pem',
          names: ['chat.example', '*.example'],
          not_after: now + 61 * DAY,
        },
        {
          listener: 'public',
          file: 'tls/feed.pem',
          names: bad ? HOSTILE : ['feed.example'],
          not_after: now + (bad ? -3 : 9) * DAY,
        },
      ],
      ended: this.ended,
      refused: this.refused,
      messages: { from_client: this.totals.fc, from_backend: this.totals.fb },
      bytes: { from_client: this.totals.bfc, from_backend: this.totals.bfb },
      throttled_ms: Math.round(this.totals.throttled),
      buffered_bytes: Math.round(180_000 * wave * (1 + Math.random() * 0.2)),
      rtt: { client: { p50_ms: 24 * wave, p99_ms: 180 * wave }, backend: { p50_ms: 0.42 * wave, p99_ms: 1.9 * wave } },
    };
  }
}
