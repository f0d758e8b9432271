// Five thousand sessions: the page stays quick, and so does what is done with it.

import assert from 'node:assert/strict';
import { startBrowser } from '../../interop/lib/browser.mjs';
import { until } from '../../interop/lib/wait.mjs';
import { WsBackend, echo } from '../../interop/lib/wspeer.mjs';
import { Crowd } from '../lib/crowd.mjs';
import { Visitor } from '../lib/visitor.mjs';

const MANY = 5000;

/** A tenth of it, where nobody else wants the processor; the gateway, the clients and the checks all do. */
const LONGEST_MS = 1000;

/** The same as so many pieces of work, for a machine on which these take long. */
const LONGEST_WORK = 20;

/** What a piece of work takes in the page, at worst of some, in milliseconds: a twentieth of a second on a machine of 2020. */
const work = () => {
  const took = Array.from({ length: 10 }, () => {
    const began = performance.now();
    let sum = 0;
    for (let n = 0; n < 30_000_000; n += 1) sum = (sum + n * 7) % 1009;
    return performance.now() - began + (sum < 0);
  });
  return Math.max(...took);
};

/** For answers of a gateway that has little of a processor to itself. */
const PATIENCE_MS = 45_000;

export async function run({ check, chromium, shots, startGateway }) {
  const backend = await WsBackend.start({ onConnection: echo });
  const gateway = await startGateway({ backend: backend.url, routes: { few: '/few', many: '/many' } });
  let crowd;
  await check(
    `${MANY} sessions`,
    async () => {
      crowd = await Crowd.open(gateway, MANY, (at) => (at % 50 === 0 ? '/few' : '/many'));
    },
    180_000,
  );
  crowd.talk(20_000, 100);

  const browser = await startBrowser(chromium);
  const visitor = await Visitor.open(browser, gateway.page);
  await visitor.isLive();
  await visitor.page.evaluate(() => {
    window.longest = 0;
    new PerformanceObserver((list) =>
      list.getEntries().forEach(({ duration }) => (window.longest = Math.max(window.longest, duration))),
    ).observe({ type: 'longtask' });
  });

  await check(
    'a page of them, and the next',
    async () => {
      await visitor.page.locator('#rows').selectOption('250');
      await visitor.has(250, PATIENCE_MS);
      await visitor.shows('#range', /1 to 250 of 5,000/);
      await visitor.click('#next');
      await visitor.shows('#range', /251 to 500 of 5,000/, PATIENCE_MS);
    },
    2 * PATIENCE_MS,
  );

  await check(
    'a filter',
    async () => {
      await visitor.page.locator('#filter-route').selectOption('few');
      await visitor.has(100, PATIENCE_MS);
      await visitor.page.locator('#filter-route').selectOption('');
      await visitor.has(250, PATIENCE_MS);
    },
    2 * PATIENCE_MS,
  );

  await check(
    'all of them in another order',
    async () => {
      await visitor.page.getByRole('button', { name: 'Age', exact: true }).click();
      await visitor.shows('#sessions-state', /^snapshot/, PATIENCE_MS);
      await visitor.shows('#range', /1 to 250 of 5,000/);
      const before = await visitor.rows();
      await visitor.click('#next');
      await until('the next of them', async () => (await visitor.rows())[0] !== before[0]);
      await visitor.click('#unsort');
      await visitor.shows('#sessions-state', /^live/, PATIENCE_MS);
    },
    2 * PATIENCE_MS,
  );

  await check('the page was never busy for long', async () => {
    const longest = await visitor.page.evaluate(() => window.longest);
    const piece = await visitor.page.evaluate(work);
    console.log(`# the longest task was ${Math.round(longest)} ms, a piece of work is ${Math.round(piece)} ms`);
    assert.ok(longest < Math.max(LONGEST_MS, LONGEST_WORK * piece), `${Math.round(longest)} ms`);
    visitor.check(gateway.page);
  });
  await visitor.shoot(shots, 'many');
}
