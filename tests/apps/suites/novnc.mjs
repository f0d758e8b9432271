// noVNC in Chromium, websockify, and TigerVNC's server, which draws into memory.

import assert from 'node:assert/strict';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startBrowser } from '../../interop/lib/browser.mjs';
import { accepting, freePorts } from '../../interop/lib/gateway.mjs';
import { start } from '../../interop/lib/processes.mjs';
import { noVncDirectory } from '../lib/packages.mjs';
import { isClosedAfter, isRefused, refusesOtherSites } from '../lib/refusals.mjs';

const PAGE = `<!doctype html>
<div id="screen" style="width: 500px; height: 400px"></div>
<script type="module">
  import RFB from './core/rfb.js';
  window.rfb = new RFB(document.getElementById('screen'), 'wss://' + location.host + '/websockify');
  window.lost = false;
  window.connected = new Promise((resolve, reject) => {
    rfb.addEventListener('connect', resolve);
    rfb.addEventListener('disconnect', () => { window.lost = true; reject(new Error('disconnected')); });
  });
</script>`;

export async function run({ check, skip, afterQuiet, startGateway, tmp, python, chromium }) {
  const vncServer = '/usr/bin/Xtigervnc';
  if (!existsSync(vncServer)) return skip('everything', 'tigervnc-standalone-server is not installed');
  const web = join(tmp, 'novnc');
  mkdirSync(web);
  writeFileSync(join(web, 'page.html'), PAGE);
  for (const part of ['core', 'vendor']) symlinkSync(join(noVncDirectory, part), join(web, part));

  const [vncPort, socketPort] = await freePorts(2);
  // The number of a display is free when the port is, near enough.
  const options = ['-rfbport', `${vncPort}`, '-localhost', '-SecurityTypes', 'None', '-geometry', '320x240', '-depth', '24'];
  await accepting(vncPort, start(vncServer, [`:${vncPort}`, ...options, '-desktop', 'framegate', '-nolisten', 'local']));
  const args = ['-m', 'websockify', '--web', web, `127.0.0.1:${socketPort}`, `127.0.0.1:${vncPort}`];
  await accepting(socketPort, start(python, args));
  const gateway = await startGateway({ servers: { BACKEND: `ws://127.0.0.1:${socketPort}` } });
  const url = gateway.wss('/websockify');
  const own = { origin: gateway.origin };

  const page = await (await startBrowser(chromium)).newPage();
  await check('the page comes from websockify, connects and draws the screen', async () => {
    await page.goto(gateway.https('/page.html'));
    await page.evaluate(() => window.connected);
    await page.waitForFunction(() => {
      const canvas = document.querySelector('canvas');
      return canvas.width === 320 && canvas.height === 240 && isDrawn(canvas);
      // Before the first update it is transparent.
      function isDrawn({ width, height }) {
        return canvas.getContext('2d').getImageData(width - 1, height - 1, 1, 1).data[3] === 255;
      }
    });
  }, 90_000);
  const resizes = (width) => async () => {
    // noVNC asks for a screen of this size, and the server answers with one.
    await page.evaluate((width) => {
      document.getElementById('screen').style.width = `${width}px`;
      window.rfb.resizeSession = true;
    }, width);
    await page.waitForFunction((width) => document.querySelector('canvas').width === width, width);
  };
  await check('the page asks for another size, and gets it', resizes(500));

  await refusesOtherSites(check, url);
  await check('a program that sends no Origin is refused', () => isRefused(url, {}, 403, 'origin'));
  await check('text is not let through', () => isClosedAfter('hello', url, own));
  afterQuiet('a desktop that was quiet goes on', async () => {
    assert.equal(await page.evaluate(() => window.lost), false);
    await resizes(440)();
  });
}
