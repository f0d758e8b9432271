// What is done from the page reaches the sessions that were meant, and no other; and the page outlives its gateway.

import assert from 'node:assert/strict';
import { startBrowser } from '../../interop/lib/browser.mjs';
import { until } from '../../interop/lib/wait.mjs';
import { WsBackend, echo } from '../../interop/lib/wspeer.mjs';
import { Crowd } from '../lib/crowd.mjs';
import { Visitor } from '../lib/visitor.mjs';

const ROUTES = { chat: '/chat/*', feed: '/feed/*' };
const PEOPLE = 60;
const ON_FEED = PEOPLE / 3;

export async function run(context) {
  const backend = await WsBackend.start({ onConnection: echo });
  const gateway = await context.startGateway({ backend: backend.url, routes: ROUTES });
  const crowd = await Crowd.open(gateway, PEOPLE, (at) => (at % 3 === 0 ? '/feed/a' : '/chat/room'));
  crowd.talk(100, 200);
  const visitor = await Visitor.open(await startBrowser(context.chromium), gateway.page);
  await visitor.isLive();
  await visitor.page.locator('#rows').selectOption('100');
  await visitor.has(PEOPLE);

  await theKicks({ ...context, gateway, crowd, visitor });
  await theRestart({ ...context, gateway, visitor });
  await context.check('no error', () => visitor.check(gateway.page));
}

async function theKicks({ check, gateway, crowd, visitor }) {
  const numberOf = async (wanted) => {
    const { sessions } = await gateway.get('/sessions?limit=1000');
    return sessions.find(({ id }) => id === wanted).number;
  };

  await check('one session is kicked: that one, with that code', async () => {
    const [, chosen] = crowd.clients.filter(({ socket }) => socket.url.endsWith('/chat/room'));
    const number = await numberOf(chosen.id);
    await visitor.page.getByRole('button', { name: `Kick session ${number}`, exact: true }).click();
    await visitor.page.locator('#kick-code').selectOption('own');
    await visitor.fill('#kick-own', '4321');
    await visitor.click('#kick-go');
    await until('the Close', () => chosen.closed);
    assert.deepEqual(chosen.closed, { code: 4321, reason: 'kick' });
    assert.deepEqual(crowd.closed, [chosen]);
    await visitor.shows('#notice-text', /^1 session is told to go, with code 4321/);
    await visitor.shows('#ended', /kick/);
    await visitor.has(PEOPLE - 1);
  });

  await check('all that a filter lets through are kicked, after their number was typed', async () => {
    await visitor.page.locator('#filter-route').selectOption('feed');
    await visitor.has(ON_FEED);
    await visitor.click('#kick-all');
    await visitor.fill('#kick-over', '0s');
    await visitor.click('#kick-go');
    await visitor.shows('#kick-problem', new RegExp(`Type ${ON_FEED} `));
    assert.equal(crowd.closed.length, 1, 'nobody yet');
    await visitor.fill('#kick-sure', String(ON_FEED));
    await visitor.click('#kick-go');
    await until('the Closes', () => crowd.closed.length === 1 + ON_FEED);
    const feed = crowd.clients.filter(({ socket }) => socket.url.endsWith('/feed/a'));
    assert.deepEqual([...new Set(feed.map(({ closed }) => closed?.code))], [1012]);
    await visitor.has(0);
    await visitor.click('#filter button[type=reset]');
    await visitor.has(PEOPLE - 1 - ON_FEED);
  });

  await check('a session that is gone is said to be gone', async () => {
    const [client] = crowd.open;
    const number = await numberOf(client.id);
    await visitor.page.locator('#table .open', { hasText: new RegExp(`^${number}$`) }).click();
    client.socket.close(1000);
    await visitor.shows('#detail-state', /is over/);
    await visitor.press('Escape');
  });
}

async function theRestart({ check, gateway, visitor }) {
  await check('a gateway that dies: the page says so, and greys what is old', async () => {
    await gateway.kill();
    await visitor.shows('#link', /^Not connected/);
    await visitor.shows('#link-age', /old\.$/);
    assert.equal(await visitor.page.evaluate(() => document.documentElement.dataset.link), 'old');
    assert.equal(await visitor.page.locator('#again').isVisible(), true);
  });

  await check(
    'it comes back by itself, and its counts begin anew',
    async () => {
      await gateway.run();
      await visitor.shows('#link', /^Live$/, 20_000);
      assert.equal(await visitor.page.evaluate(() => document.documentElement.dataset.link), 'live');
      await until('no sessions', async () => (await visitor.value('Live sessions')) === '0');
      const opens = visitor.page.locator('.chart').nth(1).locator('path.line-0');
      await until('a gap in the line', async () => (await opens.getAttribute('d')).lastIndexOf('M') > 0);
      await visitor.shows('#range', /No live session/);
    },
    75_000,
  );
}
