// A browser with the page open: what it shows, what it is told to do, and whatever went wrong in it.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { until } from '../../interop/lib/wait.mjs';

/** What a browser writes when a request fails, which is what happens when a gateway is stopped or asks for a token. */
const EXPECTED = /Failed to load resource|WebSocket connection to/;

export class Visitor {
  errors = [];
  /** Messages that its WebSocket has received. */
  heard = 0;

  static async open(browser, url, { width = 1440, height = 900, ...options } = {}) {
    const visitor = new Visitor();
    const context = await browser.newContext({ viewport: { width, height }, ...options });
    visitor.page = await context.newPage();
    visitor.page.setDefaultTimeout(25_000);
    visitor.page.on('pageerror', (error) => visitor.errors.push(error.message));
    // Violations of the content policy are among them.
    visitor.page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()) && !EXPECTED.test(message.text()))
        visitor.errors.push(message.text());
    });
    visitor.page.on('websocket', (socket) => socket.on('framereceived', () => (visitor.heard += 1)));
    visitor.requests = [];
    visitor.page.on('request', (request) => visitor.requests.push(request.url()));
    visitor.response = await visitor.page.goto(url);
    return visitor;
  }

  close() {
    return this.page.context().close();
  }

  text(selector) {
    return this.page.locator(selector).first().textContent();
  }

  click(selector) {
    return this.page.locator(selector).first().click();
  }

  fill(selector, value) {
    return this.page.locator(selector).fill(value);
  }

  press(...keys) {
    return keys.reduce((before, key) => before.then(() => this.page.keyboard.press(key)), Promise.resolve());
  }

  /** Polled from here: the page's content policy forbids what playwright would poll with. */
  shows(selector, pattern, ms = 25_000) {
    return until(`${selector} to show ${pattern}`, async () => pattern.test(await this.text(selector)), ms);
  }

  isLive() {
    return this.shows('#link', /^Live$/);
  }

  /** The numbers of the sessions in the table. */
  rows() {
    return this.page.locator('#table tbody .open').allTextContents();
  }

  async has(count, ms) {
    await until(`${count} rows`, async () => (await this.rows()).length === count, ms);
  }

  /** What has the focus: its id, or else its text. */
  focused() {
    return this.page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
  }

  /** The first value of a chart, as text. */
  value(title) {
    return this.page
      .locator('.chart', { has: this.page.getByRole('heading', { name: title }) })
      .locator('b')
      .first()
      .textContent();
  }

  async fits() {
    const [wide, there] = await this.page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
    assert.ok(wide <= there, `the page is ${wide} px wide on ${there} px`);
  }

  async shoot(directory, name, fullPage = false) {
    if (directory) await this.page.screenshot({ path: join(directory, `${name}.png`), fullPage });
  }

  /** Nothing was asked of anybody else, and nothing went wrong. */
  check(origin) {
    assert.deepEqual(this.errors, []);
    const elsewhere = this.requests.filter((url) => new URL(url).host !== new URL(origin).host);
    assert.deepEqual(elsewhere, []);
  }
}
