// SIGTERM with 2,000 clients there: their Closes come evenly over the time that was set, never inside a frame, and the
// process is gone before its deadline, whether they are answered or not.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { until, within } from '../../interop/lib/wait.mjs';
import { Framegate } from '../lib/framegate.mjs';
import { WebSocket } from '../lib/packages.mjs';
import { StrictClient } from '../lib/strict.mjs';
import { FRAME_BYTES, PAYLOAD, Streamer } from '../lib/streamer.mjs';

const CLIENTS = 2000;
/** Of them, those to whom large frames stream: half are our own client, half that of `ws`. */
const STREAMING = 60;
const SPREAD_MS = 10_000;
const BUCKET_MS = 100;
/** Where a tenth of a second cannot be seen clearly, this much can. */
const LARGE_BUCKET_MS = 1000;
/** A pause that is longer than this blurs when the Closes came: of this process, or of a thread of the gateway's. */
const BLUR_MS = 25;
const AT_A_TIME = 50;

export async function run(context) {
  await evenly(context);
  await unanswered(context);
}

async function evenly({ check, startedWith }) {
  const gateway = await gatewayOf(startedWith, `drain_timeout = "20s"\nclose_spread = "${SPREAD_MS / 1000}s"`);
  const { strict, library } = await crowd(gateway.port, { clients: CLIENTS, streaming: STREAMING, answers: true });
  const watch = watchPauses(gateway.pid);
  const { began, took, code } = await drain(gateway);
  const pauses = watch.stop();
  const closes = [...strict, ...library].map((client) => client.close);

  await check(`${CLIENTS} were told, all with 1012`, () => {
    assert.equal(closes.length, CLIENTS);
    const others = closes.filter((close) => close?.code !== 1012 || close.reason !== 'drain');
    assert.deepEqual(others, []);
  });
  await check('evenly within a factor of two, in each tenth of a second', () => evennessOf(closes, pauses));
  await check('none inside a frame, and nobody saw a breach of the protocol', () => {
    const problems = [...strict, ...library].filter((client) => client.problem || client.isCut);
    assert.deepEqual(problems.map((client) => client.problem ?? 'cut inside a frame'), []);
    const least = Math.min(...[...strict, ...library].filter((client) => client.streams).map((client) => client.messages));
    assert.ok(least > 0, 'to each of them something streamed');
  });
  await check('the process was gone before its deadline', () => {
    assert.equal(code, 0);
    assert.ok(took < 20_000, `${took} ms`);
    console.log(`# gone ${(took / 1000).toFixed(1)} s after SIGTERM, the last Close ${((Math.max(...closes.map((close) => close.at)) - began) / 1000).toFixed(1)} s`);
  });
}

/** The clients are told and never answer: each is given `timeouts.close`, 5 s, and no more. */
async function unanswered({ check, startedWith }) {
  const gateway = await gatewayOf(startedWith, 'drain_timeout = "10s"\nclose_spread = "2s"');
  const { strict } = await crowd(gateway.port, { clients: CLIENTS, streaming: 0, answers: false });
  const { took, code } = await drain(gateway);
  await check('gone before the deadline when no client answers', () => {
    assert.equal(code, 0);
    assert.ok(took < 10_000, `${took} ms`);
    assert.equal(strict.filter((client) => client.close?.code === 1012).length, CLIENTS);
    assert.deepEqual(strict.map((client) => client.problem).filter(Boolean), []);
    console.log(`# gone ${(took / 1000).toFixed(1)} s after SIGTERM, with nobody answering`);
  });
}

async function gatewayOf(startedWith, shutdown) {
  const backend = await Streamer.start();
  const gateway = await Framegate.start({ backend: backend.port, routes: ['stream', 'idle'], shutdown, tls: false });
  startedWith(gateway);
  return gateway;
}

async function crowd(port, { clients, streaming, answers }) {
  const strict = [];
  const library = [];
  const makers = Array.from({ length: clients }, (_, number) => async () => {
    if (number < streaming / 2) library.push(await openLibrary(port));
    else strict.push(await openStrict(port, { answers, streams: number < streaming }));
  });
  // In any order, so that those to whom something streams do not all hear of it one after the other.
  makers.sort(() => Math.random() - 0.5);
  for (let from = 0; from < makers.length; from += AT_A_TIME) {
    await Promise.all(makers.slice(from, from + AT_A_TIME).map((make) => make()));
  }
  const all = [...strict, ...library];
  await until('something to stream to each of them', () => all.every((client) => !client.streams || client.messages > 0), 20_000);
  return { strict, library };
}

/** Judges a message that streamed: every byte of it. */
function judge(client, payload) {
  client.messages += 1;
  if (!payload.equals(PAYLOAD)) client.problem ??= `a message of ${payload.length} bytes instead of ${FRAME_BYTES}, or altered`;
}

async function openStrict(port, { answers, streams }) {
  const client = new StrictClient({ answers, onMessage: (payload) => judge(client, payload) });
  Object.assign(client, { streams, messages: 0 });
  await client.open(port, streams ? '/stream/' : '/idle/');
  return client;
}

async function openLibrary(port) {
  const client = { streams: true, messages: 0, close: null, problem: null };
  const socket = new WebSocket(`ws://127.0.0.1:${port}/stream/`, { perMessageDeflate: false });
  socket.on('message', (payload) => judge(client, payload));
  socket.on('close', (code, reason) => (client.close = { code, reason: reason.toString(), at: performance.now() }));
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
  });
  socket.on('error', (error) => (client.problem ??= error.message));
  return client;
}

/** When this process was busy, or waited for a processor, and could not have noticed anything; or the gateway waited. */
function watchPauses(pid) {
  const pauses = [];
  let last = performance.now();
  let waited = waitedForProcessors(pid);
  const timer = setInterval(() => {
    const now = performance.now();
    if (now - last > BLUR_MS) pauses.push([last, now]);
    last = now;
    const before = waited;
    waited = waitedForProcessors(pid);
    for (const [thread, ms] of waited) {
      const more = ms - (before.get(thread) ?? ms);
      if (more > BLUR_MS) pauses.push([now - more, now]);
    }
  }, 5);
  return { stop: () => (clearInterval(timer), pauses) };
}

/** How long each thread of a process could have run and was not let, in milliseconds; nothing where the kernel does not tell. */
function waitedForProcessors(pid) {
  try {
    const threads = readdirSync(`/proc/${pid}/task`);
    const waited = (thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
    return new Map(threads.map((thread) => [thread, waited(thread)]));
  } catch {
    return new Map();
  }
}

async function drain(gateway) {
  const began = performance.now();
  gateway.signal('SIGTERM');
  const code = await within(60_000, 'the end of the gateway', gateway.exited);
  const took = performance.now() - began;
  await pause(200); // The last streams' ends are read.
  return { began, took, code };
}

/** In each second; and in each tenth of one that could be seen clearly, which on a quiet machine is nearly every one. */
function evennessOf(closes, pauses) {
  const times = closes.map((close) => close.at).sort((a, b) => a - b);
  const bucketOf = (at) => Math.floor((at - times[0]) / BUCKET_MS);
  const isBlurred = (index) => pauses.some(([from, to]) => bucketOf(from) <= index && index <= bucketOf(to));
  const counts = countsOf(times, BUCKET_MS);
  console.log(`# closes in each 100 ms: ${counts.map((n, index) => (isBlurred(index) ? `(${n})` : n)).join(' ')}`);
  const odd = oddOnes(countsOf(times, LARGE_BUCKET_MS), () => false);
  assert.deepEqual([...odd, ...oddOnes(counts, isBlurred)], []);
}

function countsOf(times, bucketMs) {
  const counts = Array(SPREAD_MS / bucketMs).fill(0);
  for (const at of times) counts[Math.min(counts.length - 1, Math.floor((at - times[0]) / bucketMs))] += 1;
  return counts;
}

function oddOnes(counts, isBlurred) {
  const share = CLIENTS / counts.length;
  const isOdd = (count) => count < share / 2 || count > share * 2;
  return counts.flatMap((count, index) => (isOdd(count) && !isBlurred(index) ? [`${count} in ${index} of ${counts.length}`] : []));
}
