// The page on a bad day, over a stand-in that has one: names made to break it, servers that are down, certificates that
// ran out, a reload that failed. And what can be measured of how it looks: contrast, in light and in dark.

import assert from 'node:assert/strict';
import { startBrowser } from '../../interop/lib/browser.mjs';
import { atEnd } from '../../interop/lib/processes.mjs';
import { until } from '../../interop/lib/wait.mjs';
import { HOSTILE } from '../lib/pretence.mjs';
import { StandIn } from '../lib/standin.mjs';
import { Visitor } from '../lib/visitor.mjs';

/** WCAG 2.1, 1.4.3, for text of any size. */
const LEAST_CONTRAST = 4.5;

export async function run({ check, chromium, shots }) {
  const standin = await new StandIn({ count: 800, hostile: true, past: 280 }).listen();
  atEnd(() => standin.close());
  const browser = await startBrowser(chromium);

  for (const width of [1440, 820, 360]) {
    await check(
      `hostile names, ${width} px wide`,
      async () => {
        const visitor = await Visitor.open(browser, standin.url, { width });
        await visitor.isLive();
        await visitor.has(width < 600 ? 10 : 50);
        await visitor.fits();
        const made = await visitor.page.evaluate(
          () => document.querySelectorAll('img, script:not([src]), iframe').length,
        );
        assert.equal(made, 0, 'a name became markup');
        assert.match(await visitor.text('#routes'), /<img src=x onerror=/);
        assert.match(
          await visitor.text('#routes'),
          /abc\\u\{202e\}gnp\.exe/,
          'what turns a line around is spelled out',
        );
        await openHostile(visitor, standin);
        await visitor.fits();
        await visitor.shoot(shots, `hostile-${width}`);
        await visitor.press('Escape');
        visitor.check(standin.url);
        await visitor.close();
      },
      180_000,
    );
  }

  await check('what is out of order is said in words', async () => {
    const visitor = await Visitor.open(browser, standin.url);
    await visitor.isLive();
    await visitor.shows('#standing', /^draining$/);
    for (const words of [
      /draining/,
      /reload failed.*framegate\.toml:12:8/s,
      /10\.1\.0\.12:9000 is not up/,
      /ran out 3 d/,
    ]) {
      await visitor.shows('#attention', words);
    }
    await visitor.close();
  });

  for (const colorScheme of ['light', 'dark']) {
    await check(
      `contrast, ${colorScheme}`,
      async () => {
        const visitor = await Visitor.open(browser, standin.url, { colorScheme });
        await visitor.isLive();
        await visitor.has(50);
        await readable(visitor, 'main');
        await readable(visitor, 'header');
        await visitor.click('#table .open');
        await readable(visitor, '#detail');
        await visitor.press('Escape');
        await visitor.click('#table .kick');
        await readable(visitor, '#kick');
        await visitor.press('Escape');
        await visitor.close();
      },
      180_000,
    );
  }

  await check('what is old is grey, and still readable', async () => {
    const lonely = await new StandIn({ count: 60, past: 100 }).listen();
    const visitor = await Visitor.open(browser, lonely.url);
    await visitor.isLive();
    await lonely.close();
    await visitor.shows('#link', /^Not connected/);
    await readable(visitor, 'main');
    await visitor.close();
  });
}

/** A session whose id is markup, in full. */
async function openHostile(visitor, standin) {
  const session = [...standin.gateway.sessions.values()].find(({ id, ending }) => id === HOSTILE[0] && !ending);
  await visitor.page.locator('#rows').selectOption('250');
  await until('some rows', async () => (await visitor.rows()).length > 100);
  const row = visitor.page.locator('#table .open', { hasText: new RegExp(`^${session.number}$`) });
  const target = (await row.count()) > 0 ? row : visitor.page.locator('#table .open').first();
  await target.click();
  await visitor.shows('#detail-facts', /Request id/);
}

async function readable(visitor, selector) {
  const poor = await visitor.page.evaluate(poorContrast, [selector, LEAST_CONTRAST]);
  assert.deepEqual(poor, []);
}

/** Runs in the page: text whose contrast with what is behind it is too low. */
function poorContrast([selector, least]) {
  const channels = (color) => color.match(/[\d.]+/g).map(Number);
  const luminance = (color) => {
    const [r, g, b] = channels(color).map((part) =>
      part / 255 <= 0.03928 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const { backgroundColor } = getComputedStyle(one);
      const [, , , alpha = 1] = channels(backgroundColor);
      if (alpha > 0) return backgroundColor;
    }
    return 'rgb(255, 255, 255)';
  };
  const walker = document.createTreeWalker(document.querySelector(selector), NodeFilter.SHOW_TEXT);
  const poor = new Set();
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    // What is switched off is exempt, and still held to it here.
    if (!text.data.trim() || !node.checkVisibility() || node.tagName === 'OPTION') continue;
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(behind(node))].toSorted((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < least) poor.add(`${node.tagName} "${text.data.trim().slice(0, 30)}" ${contrast.toFixed(2)}`);
  }
  return [...poor].slice(0, 10);
}
