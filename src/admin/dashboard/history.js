// The last ten minutes, as far as this page has seen them: what the gateway counts becomes what happens in a second.
// Pure, so that the tests can run it without a browser.

const KEPT_S = 605;

/** Two that are closer than this make a rate of nothing much. */
const CLOSE_S = 0.5;

/** Between two samples so far apart nobody knows what happened when: the line has a gap there. */
const GAP_S = 5;

export class History {
  samples = [];

  /** `status` as the gateway tells it, `at` in seconds. */
  add(status, at) {
    // Its clock was set back: there is no telling when the samples before were.
    if (at < this.latest?.at) this.samples = [];
    const before = this.latest;
    if (before && at - before.at < CLOSE_S) return;
    const sample = { at, gap: !follows(before, status, at), ...levels(status), counted: counted(status) };
    sample.rtt = this.#roundTrips(status, at);
    sample.rates = sample.gap ? {} : rates(before.counted, sample.counted, at - before.at);
    sample.process = processOf(status);
    this.samples.push(sample);
    while (this.samples[0].at < at - KEPT_S) this.samples.shift();
  }

  get latest() {
    return this.samples.at(-1);
  }

  /** The sample that was the last one at that time, or none. */
  seenAt(at) {
    const sample = this.samples.findLast((one) => one.at <= at + 0.5);
    return sample && at - sample.at <= GAP_S ? sample : undefined;
  }

  /** Of the last minute, as far as it was seen; or of all time, where the gateway tells no more. */
  #roundTrips(status, at) {
    const process = processOf(status);
    const base = this.samples.find((one) => one.process === process && one.at >= at - MINUTE_S);
    const { client, backend } = status.rtt ?? {};
    return { client: quantiles(client, base?.told?.client), backend: quantiles(backend, base?.told?.backend) };
  }

  /** For how long this process was seen, of the last `span` seconds. */
  covers(span) {
    const first = this.samples.find((one) => one.process === this.latest.process);
    return first ? Math.min(span, this.latest.at - first.at) : 0;
  }

  /** How much each cause has grown since `at`, as far as this process was seen. */
  grown(kind, at) {
    const { latest } = this;
    if (!latest) return {};
    const base = this.samples.find((one) => one.at >= at && one.process === latest.process);
    const now = latest.counted[kind];
    return Object.fromEntries(Object.entries(now).map(([cause, n]) => [cause, n - (base.counted[kind][cause] ?? 0)]));
  }
}

const processOf = (status) => `${status.pid}/${status.started}`;

/** Another process counts from zero again. */
function follows(before, status, at) {
  return Boolean(before) && before.process === processOf(status) && at - before.at <= GAP_S;
}

/** What is so at a moment. */
function levels({ sessions = {}, routes = [], rtt, buffered_bytes }) {
  return {
    live: sessions.live,
    byRoute: Object.fromEntries(routes.map(({ name, live }) => [name, live])),
    buffered: buffered_bytes,
    told: rtt,
  };
}

/** Pings are minutes apart; what the last second had would say little. */
const MINUTE_S = 60;

/** Between two looks at the same buckets, `[[up to so many ms, so many pings], …]`; the last one has no end. */
function quantiles(now = {}, before) {
  if (!now.buckets) return { p50_ms: now.p50_ms, p99_ms: now.p99_ms };
  if (!before?.buckets) return {};
  const grown = now.buckets.map(([end, n], at) => ({ end, n: n - before.buckets[at][1] }));
  return { p50_ms: quantile(grown, 0.5), p99_ms: quantile(grown, 0.99) };
}

/** Within a bucket, pings are taken to be spread evenly. */
function quantile(buckets, part) {
  const all = buckets.reduce((sum, { n }) => sum + n, 0);
  let [below, start] = [0, 0];
  for (const { end, n } of buckets) {
    if (n > 0 && below + n >= part * all)
      return end === null ? start : start + ((part * all - below) / n) * (end - start);
    below += n;
    start = end ?? start;
  }
  return null;
}

/** What only grows. */
function counted({ sessions = {}, messages = {}, bytes = {}, throttled_ms, ended = {}, refused = {} }) {
  return {
    opened: sessions.opened,
    closed: sessions.ended,
    turnedAway: sessions.refused,
    messagesFromClient: messages.from_client,
    messagesFromBackend: messages.from_backend,
    bytesFromClient: bytes.from_client,
    bytesFromBackend: bytes.from_backend,
    throttled: throttled_ms,
    ended,
    refused,
  };
}

function rates(before, now, seconds) {
  const grew = ([name, value]) => typeof value === 'number' && typeof before[name] === 'number';
  // A reload may take counters with it; nothing happens a negative number of times.
  const rate = ([name, value]) => [name, Math.max(0, value - before[name]) / seconds];
  return Object.fromEntries(Object.entries(now).filter(grew).map(rate));
}
