// The page over a real gateway under load: what it shows moves and is right, on a desk and on a phone, with a mouse and
// without one.

import assert from 'node:assert/strict';
import { startBrowser } from '../../interop/lib/browser.mjs';
import { until } from '../../interop/lib/wait.mjs';
import { WsBackend, echo, openClient } from '../../interop/lib/wspeer.mjs';
import { Crowd } from '../lib/crowd.mjs';
import { Visitor } from '../lib/visitor.mjs';

const ROUTES = {
  chat: '/chat/*',
  feed: '/feed/*',
  slow: { path: '/slow/*', rate: { messages: { per_second: 10, burst: 1 } } },
};
const PEOPLE = 60;
const isFeed = (at) => at % 3 === 0;

export async function run(context) {
  const { chromium, startGateway, shots } = context;
  const backend = await WsBackend.start({ onConnection: echo });
  const gateway = await startGateway({ backend: backend.url, routes: ROUTES, secure: true });
  const crowd = await Crowd.open(gateway, PEOPLE, (at) => (isFeed(at) ? '/feed/a' : '/chat/room'));
  // Who is never quiet is never pinged.
  const quiet = await Crowd.open(gateway, 1, () => '/chat/quiet');
  crowd.talk(100, 200);
  const browser = await startBrowser(chromium);
  const visitor = await Visitor.open(browser, gateway.page);
  // Where nothing is shown at all, there is nothing to check.
  await visitor.isLive();
  const scene = { ...context, gateway, crowd, quiet, browser, visitor };

  await theNumbers(scene);
  await theTable(scene);
  await theKeyboard(scene);
  await theTap(scene);
  if (shots) await thePicture(scene);
  await thePhone(scene);
  await context.check('no error, no violation of the content policy, and nothing from elsewhere', () =>
    visitor.check(gateway.page),
  );
}

async function theNumbers({ check, gateway, visitor }) {
  await check('the page is there, under a strict policy', async () => {
    assert.equal(visitor.response.status(), 200);
    const policy = visitor.response.headers()['content-security-policy'];
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|\*|data:/);
    await visitor.shows('#standing', /^ready$/);
  });

  await check('what it shows is so', async () => {
    await until('all sessions', async () => (await visitor.value('Live sessions')) === String(PEOPLE + 1));
    const [chat, feed] = ['chat', 'feed'].map((route) =>
      visitor.page.locator('#routes tr', { hasText: route }).locator('td').nth(3),
    );
    await until('chat', async () => (await chat.textContent()) === '41');
    await until('feed', async () => (await feed.textContent()) === '20');
    await visitor.shows('#listeners', /127\.0\.0\.1/);
    // It was made for this run, and for two days.
    await visitor.shows('#certificates tbody', /leaf\.pem.*secure, localhost.* 1 d$/);
    await visitor.shows('#attention', /leaf\.pem.* runs out in 1 d/);
    assert.match(await visitor.page.title(), /^61 live/);
  });

  await check(
    'numbers move with the traffic',
    async () => {
      // 60 clients, ten messages a second each, and as many echoes.
      const near = (text, value) => Math.abs(Number(text.replace(',', '')) - value) < value / 2;
      await until('messages', async () => near(await visitor.value('Messages'), 600));
      await until('bytes', async () => /KiB/.test(await visitor.value('Payload')));
      await until('a round trip', async () => / ms$/.test(await visitor.value('Ping, clients')));
      await until('another', async () => / ms$/.test(await visitor.value('Ping, backends')));
    },
    180_000,
  );

  await check(
    'what is refused and what is held back is counted',
    async () => {
      for (let tries = 0; tries < 3; tries += 1) await assert.rejects(openClient(gateway.ws('/nowhere')), /404/);
      await visitor.shows('#refused tbody', /^no_route33$/);
      const pushy = await openClient(gateway.ws('/slow/one'));
      for (let sent = 0; sent < 25; sent += 1) pushy.socket.send('more than ten a second');
      await until('a rate', async () => !/^(0 ms|–)$/.test(await visitor.value('Held back by rates')));
      pushy.socket.close(1000);
      await until('its end', async () => (await visitor.value('Live sessions')) === String(PEOPLE + 1));
    },
    180_000,
  );

  await check('lines are drawn, and said in words', async () => {
    const line = visitor.page.locator('.chart').nth(2).locator('path.line-0');
    await until('a line', async () => /^M[\d. ]+L/.test(await line.getAttribute('d')));
    const before = await line.getAttribute('d');
    await until('the line to move', async () => (await line.getAttribute('d')) !== before);
    const label = await visitor.page.locator('.chart svg[role=img]').nth(2).getAttribute('aria-label');
    assert.match(label, /^Messages, per second, 5 min up to now\. from clients: now [\d.,]+, lowest .+ highest /);
  });

  await check('hold stops the page, and not the gateway', async () => {
    await visitor.click('#hold');
    const line = visitor.page.locator('.chart').first().locator('path.line-0');
    const held = await line.getAttribute('d');
    const { heard } = visitor;
    await until('two more messages', () => visitor.heard >= heard + 2);
    assert.equal(await line.getAttribute('d'), held);
    await visitor.click('#hold');
    await until('the line to move', async () => (await line.getAttribute('d')) !== held);
  });

  await check('one can look back', async () => {
    await visitor.page.locator('#back').focus();
    await visitor.press('ArrowLeft', 'ArrowLeft');
    await visitor.shows('#back-at', /^2 s ago/);
    assert.match(await visitor.page.locator('.chart path.cursor').first().getAttribute('d'), /^M/);
    await visitor.press('End');
    await visitor.shows('#back-at', /^now$/);
  });

  await check('what the gateway says is what the page was told', async () => {
    const { sessions, version } = await gateway.get('/status');
    assert.equal(sessions.live, PEOPLE + 1);
    await visitor.shows('#about', new RegExp(version.replaceAll('.', '\\.')));
  });
}

async function theTable({ check, gateway, visitor }) {
  await check('all sessions are in the table, by number', async () => {
    await visitor.page.locator('#rows').selectOption('100');
    await visitor.has(PEOPLE + 1);
    const { sessions } = await gateway.get('/sessions');
    assert.deepEqual(
      await visitor.rows(),
      sessions.map(({ number }) => String(number)),
    );
  });

  await check('pages: there and back', async () => {
    await visitor.page.locator('#rows').selectOption('25');
    await visitor.has(25);
    const first = await visitor.rows();
    await visitor.click('#next');
    await until('other rows', async () => (await visitor.rows())[0] !== first[0]);
    await visitor.shows('#range', /26 to 50 of 61/);
    await visitor.click('#next');
    await visitor.has(11);
    assert.equal(await visitor.page.locator('#next').isDisabled(), true);
    await visitor.click('#previous');
    await visitor.click('#previous');
    await until('the first page', async () => (await visitor.rows())[0] === first[0]);
  });

  await check('filters: route, address, age', async () => {
    await visitor.page.locator('#filter-route').selectOption('feed');
    await visitor.has(20);
    await visitor.shows('#sessions-title', /fit: 20/);
    await visitor.fill('#filter-address', '10.0.0.0/8');
    await visitor.click('#filter button[type=submit]');
    await visitor.shows('#range', /No session fits/);
    await visitor.fill('#filter-address', '127.0.0.0/8');
    await visitor.press('Enter');
    await visitor.has(20);
    await visitor.fill('#filter-min-age', '1h');
    await visitor.press('Enter');
    await visitor.has(0);
    await visitor.click('#filter button[type=reset]');
    await visitor.shows('#range', /1 to 25 of 61/);
  });

  await check('a filter that makes no sense is explained by the gateway', async () => {
    await visitor.fill('#filter-min-age', 'old');
    await visitor.press('Enter');
    await visitor.shows('#filter-problem', /min_age.*\S/);
    await visitor.click('#filter button[type=reset]');
    await visitor.shows('#filter-problem', /^$/);
  });

  await check('another order is a snapshot, and says so', async () => {
    await visitor.page.getByRole('button', { name: 'Age', exact: true }).click();
    await visitor.shows('#sessions-state', /^snapshot of/);
    const oldest = Number((await visitor.rows())[0]);
    await visitor.page.getByRole('button', { name: 'Age', exact: true }).click();
    await until('the youngest first', async () => Number((await visitor.rows())[0]) > oldest);
    assert.equal(await visitor.page.locator('[aria-sort=ascending]').textContent(), 'Age');
    await visitor.click('#unsort');
    await visitor.shows('#sessions-state', /^live/);
  });
}

async function theKeyboard({ check, browser, gateway, visitor }) {
  const { page } = visitor;

  await check(
    'the keyboard: everything is reached, and seen to be',
    async () => {
      const another = await Visitor.open(browser, gateway.page);
      await another.isLive();
      await another.has(50);
      await another.press('Tab');
      assert.match(await another.focused(), /^Skip to/);
      const reached = new Set();
      for (let step = 0; step < 60 && !reached.has('Kick'); step += 1) {
        await another.press('Tab');
        reached.add(await another.focused());
        const seen = await another.page.evaluate(() => {
          const { activeElement: one } = document;
          // A radio button is drawn by what stands behind it.
          const drawn = one.type === 'radio' ? one.nextElementSibling : one;
          return one === document.body || getComputedStyle(drawn).outlineStyle !== 'none';
        });
        assert.ok(seen, `the focus is not to be seen on ${await another.focused()}`);
      }
      for (const id of ['back', 'hold', 'filter-route', 'filter-address', 'Filter', 'Number', 'Kick'])
        assert.ok(reached.has(id), `${id} of ${[...reached]}`);
      await another.close();
    },
    180_000,
  );

  await check('the keyboard: rows, a session, and back', async () => {
    const numbers = await visitor.rows();
    await page.locator('#table .open').first().focus();
    await visitor.press('ArrowDown', 'ArrowDown');
    assert.equal(await visitor.focused(), numbers[2]);
    await visitor.press('End');
    assert.equal(await visitor.focused(), numbers.at(-1));
    await visitor.press('Home', 'ArrowDown', 'Enter');
    await visitor.shows('#detail-title', new RegExp(`^Session ${numbers[1]}$`));
    await visitor.shows('#detail-facts', /client-\d+/);
    await visitor.press('Escape');
    await until('the row again', async () => (await visitor.focused()) === numbers[1]);
    await visitor.press('ArrowRight', 'Enter');
    await visitor.shows('#kick-title', new RegExp(`^Kick session ${numbers[1]}$`));
    assert.equal(await visitor.focused(), 'kick-cancel', 'what is asked first is the harmless thing');
    await visitor.press('Escape');
    await until('the row again', async () => (await visitor.focused()) === 'Kick');
  });

  await check('the focus stays while the list goes on', async () => {
    const focused = await visitor.focused();
    const rows = await visitor.rows();
    const ages = () => page.locator('#table tbody td:nth-child(5)').first().textContent();
    const before = await ages();
    await until('the list to go on', async () => (await ages()) !== before);
    assert.deepEqual([await visitor.focused(), await visitor.rows()], [focused, rows]);
  });
}

async function theTap({ check, visitor }) {
  await check('the frames of a session: sizes alone, until payloads are asked for', async () => {
    await visitor.click('#table .open');
    await visitor.click('#tap-toggle');
    await visitor.shows('#tap-frames', /client.*text.*200 B/);
    assert.doesNotMatch(await visitor.text('#tap-frames'), /xxx/);
    await visitor.click('#tap-toggle');
    await visitor.page.locator('#tap-payload').check();
    await visitor.click('#tap-toggle');
    await visitor.shows('#tap-frames', /x{64}/);
    assert.doesNotMatch(await visitor.text('#tap-frames'), /x{65}/);
    await visitor.press('Escape');
  });
}

async function thePhone({ check, browser, gateway, shots }) {
  for (const [name, options] of [
    ['phone-light', { width: 390, height: 844, colorScheme: 'light', hasTouch: true }],
    ['phone-narrow', { width: 360, height: 740, colorScheme: 'light' }],
    ['desktop-dark', { width: 1440, height: 900, colorScheme: 'dark' }],
  ]) {
    await check(
      `${name}: it fits`,
      async () => {
        const visitor = await Visitor.open(browser, gateway.page, { ...options, reducedMotion: 'reduce' });
        await visitor.isLive();
        await visitor.has(options.width < 600 ? 10 : 50);
        await visitor.fits();
        if (shots) await visitor.page.locator('#span label', { hasText: '1 min' }).click();
        if (shots) await until('a history', () => visitor.heard >= A_PICTURE / 2, A_PICTURE * 1000);
        await visitor.shoot(shots, name, options.width < 600);
        await visitor.click('#table .open');
        await visitor.shows('#detail-facts', /client-\d+/);
        await visitor.fits();
        await visitor.shoot(shots, `${name}-session`);
        await visitor.press('Escape');
        await visitor.click('#table .kick');
        await visitor.fits();
        await visitor.shoot(shots, `${name}-kick`);
        assert.equal(await visitor.page.evaluate(() => document.getAnimations().length), 0, 'nothing is animated');
        visitor.check(gateway.page);
        await visitor.close();
      },
      180_000,
    );
  }
}

/** So many messages make lines that can be looked at. */
const A_PICTURE = 45;

async function thePicture({ visitor, shots }) {
  await visitor.page.locator('#span label', { hasText: '1 min' }).click();
  await until('a history', () => visitor.heard >= A_PICTURE, A_PICTURE * 2000);
  await visitor.page.evaluate(() => window.scrollTo(0, 0));
  await visitor.shoot(shots, 'desktop-light');
}
