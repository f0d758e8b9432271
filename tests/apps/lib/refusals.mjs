// What a file in config/ keeps away from its application.

import assert from 'node:assert/strict';
import { openClient } from '../../interop/lib/wspeer.mjs';

export async function isRefused(url, options, status, cause) {
  await assert.rejects(openClient(url, options), (error) => {
    assert.equal(error.status, status, error.message);
    assert.equal(error.response.headers['x-framegate-cause'], cause);
    return true;
  });
}

export const ELSEWHERE = 'https://elsewhere.example';

/** The check that every one of these files has to pass: pages of other sites do not get to the application. */
export function refusesOtherSites(check, url, options = {}) {
  return check('a page of another site is refused', () => isRefused(url, { ...options, origin: ELSEWHERE }, 403, 'origin'));
}

/** A frame of a kind that the application never gets from its clients. */
export async function isClosedAfter(message, url, options) {
  const client = await openClient(url, options);
  client.socket.send(message);
  assert.equal((await client.closed()).code, 1003);
}
