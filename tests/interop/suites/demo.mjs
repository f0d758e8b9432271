// `framegate demo` as a newcomer meets it: started without a file, its page worked by hand in a real browser. What
// arrives is read from the browser's own record of frames as well as from the page, so that the page cannot flatter.

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { startBrowser } from '../lib/browser.mjs';
import { PAGE_FILE, startDemoStandIn } from '../lib/demo_standin.mjs';
import { accepting, freePorts } from '../lib/gateway.mjs';
import { start } from '../lib/processes.mjs';
import { until } from '../lib/wait.mjs';
import { openClient } from '../lib/wspeer.mjs';

const OPEN = /\b(open|connected)\b/i;
const CLOSED = /\b(closed|disconnected)\b/i;
// These two need a gateway that refuses.
const REFUSALS = ['break-origin', 'break-route'];

export async function run(context) {
  const { check, checkGateway, skip, chromium, direct } = context;
  if (direct && !existsSync(PAGE_FILE)) return skip('the page', 'it is not there yet');
  const demo = direct ? await startDemoStandIn(context) : await startDemo();

  await checkGateway('it prints what to open', () =>
    until(`${demo.url} in its output`, () => demo.output().includes(demo.url.replace(/\/$/, ''))),
  );

  for (const [scheme, url] of [['wss', demo.wss], ['ws', demo.ws]]) {
    await check(`a program connects over ${scheme}`, async () => {
      // The demo makes its own certificate, and nobody can know it beforehand.
      const client = await openClient(`${url}/echo`, { rejectUnauthorized: false });
      client.socket.send('hello');
      assert.equal(await client.message(), 'hello');
      client.socket.terminate();
    });
  }

  const browser = await startBrowser(chromium);
  const [first, second] = [await newVisitor(browser), await newVisitor(browser)];

  await check('the page opens', async () => {
    const response = await first.page.goto(demo.url);
    assert.equal(response.status(), 200);
    await first.page.locator('#connect').waitFor();
  });
  await theSocket(context, first);
  await theChat(context, demo, first, second);
  await theLimits(context, first);

  await check('the page made no error', () => assert.deepEqual([...first.errors, ...second.errors], []));
  if (context.failures() > 0 && !direct) console.error(demo.output().trimEnd().replace(/^/gm, '# framegate: '));
}

async function startDemo() {
  const [https, http] = await freePorts(2);
  const args = ['demo', '--https', `127.0.0.1:${https}`, '--http', `127.0.0.1:${http}`];
  const program = start(process.env.FRAMEGATE_BIN, args);
  await accepting(https, program);
  await accepting(http, program);
  return {
    url: `https://localhost:${https}/`,
    wss: `wss://localhost:${https}`,
    ws: `ws://localhost:${http}`,
    output: program.output,
  };
}

/** The controls of one page, and what its WebSockets received. */
async function newVisitor(browser) {
  const page = await browser.newPage();
  page.setDefaultTimeout(25_000);
  const received = [];
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('websocket', (socket) => socket.on('framereceived', ({ payload }) => received.push(payload)));
  const text = (selector) => page.locator(selector).first().textContent();
  return {
    page,
    received,
    errors,
    text,
    click: (selector) => page.locator(selector).click(),
    fill: (selector, value) => page.locator(selector).fill(value),
    /** Polled from here: the page's content security policy may forbid the functions that playwright would poll with. */
    shows: (selector, pattern) => until(`${selector} to show ${pattern}`, async () => pattern.test(await text(selector))),
    gets: (what, test) => until(what, () => received.some(test)),
  };
}

async function connect(visitor) {
  if (!OPEN.test(await visitor.text('#state'))) await visitor.click('#connect');
  await visitor.shows('#state', OPEN);
}

async function theSocket({ check }, visitor) {
  await check('connect', () => connect(visitor));

  await check('text comes back', async () => {
    const message = 'Grüße from interop 🌍';
    await visitor.fill('#text', message);
    await visitor.click('#send-text');
    await visitor.gets('the echo', (payload) => payload === message);
    await visitor.shows('#log', /Grüße from interop/);
  });

  await check('binary comes back', async () => {
    await visitor.click('#send-binary');
    await visitor.gets('the echo', (payload) => Buffer.isBuffer(payload) && payload.length > 0);
    await visitor.shows('#log', /binary/i);
  });

  await check('round trips are measured', async () => {
    await visitor.click('#rtt-toggle');
    await visitor.shows('#rtt-median', /\d/);
    await visitor.click('#rtt-toggle');
  });

  await check('a close with code and reason', async () => {
    await visitor.fill('#close-code', '4001');
    await visitor.fill('#close-reason', 'bye from interop');
    await visitor.click('#do-close');
    await visitor.shows('#state', CLOSED);
    await visitor.shows('#log', /4001/);
    await visitor.shows('#log', /bye from interop/);
  });

  await check('connect again, and disconnect', async () => {
    await connect(visitor);
    await visitor.click('#disconnect');
    await visitor.shows('#state', CLOSED);
  });
}

async function theChat({ check }, demo, first, second) {
  await check('chat between two pages', async () => {
    await second.page.goto(demo.url);
    for (const visitor of [first, second]) await visitor.click('#chat-join');
    for (const visitor of [first, second]) await visitor.shows('#chat-people', /2/);
    for (const [from, to, message] of [[first, second, 'anybody there?'], [second, first, 'yes, ünd you?']]) {
      await from.fill('#chat-text', message);
      await from.click('#chat-send');
      await to.gets('the message', (payload) => payload.includes(message));
      await until('the page to show it', async () => (await to.text('body')).includes(message));
    }
  });

  await check('the chat counts who leaves', async () => {
    await second.page.close();
    await first.shows('#chat-people', /1/);
  });
}

/** Every experiment that the page offers judges itself; the one that must be there is looked at more closely. */
async function theLimits({ check, checkGateway, skip }, visitor) {
  await check('a message over the limit: 1009', async () => {
    await connect(visitor);
    await visitor.click('#break-big');
    await visitor.shows('#state', CLOSED);
    await visitor.shows('#log', /1009/);
  });

  const buttons = await visitor.page.locator('button[id^="break-"]').all();
  for (const id of await Promise.all(buttons.map((button) => button.getAttribute('id')))) {
    const result = visitor.page.locator(`#${id}-result`);
    if ((await result.count()) === 0) {
      skip(id, 'it does not tell how it went');
      continue;
    }
    await (REFUSALS.includes(id) ? checkGateway : check)(`#${id} ends well`, async () => {
      await visitor.click(`#${id}`);
      const verdict = await until('its verdict', async () => /\b(ok|bad)\b/.exec((await result.getAttribute('class')) ?? '')?.[0]);
      assert.equal(verdict, 'ok', await result.textContent());
    });
  }
}
