// Waiting for things, always with an end.

import { setTimeout as pause } from 'node:timers/promises';

/** The promise's own result, or a rejection that names what did not happen in time. */
export function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not finish within ${ms / 1000} s`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Asks `probe` again and again until it gives something true, and returns that. For what sends no event. */
export async function until(what, probe, ms = 25_000) {
  const end = Date.now() + ms;
  for (;;) {
    const answer = await probe();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`waited ${ms / 1000} s for ${what}`);
    await pause(20);
  }
}

/** A promise with its handles outside, for "the next time that …". */
export function deferred() {
  let resolve;
  let reject;
  const promise = new Promise((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
