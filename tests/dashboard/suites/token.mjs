// The token: asked for once, kept by the tab, sent as a header or as a subprotocol, and never shown.

import assert from 'node:assert/strict';
import { startBrowser } from '../../interop/lib/browser.mjs';
import { WsBackend, echo } from '../../interop/lib/wspeer.mjs';
import { Visitor } from '../lib/visitor.mjs';

const TOKENS = {
  'a token that a WebSocket can carry': '0123456789abcdef0123456789abcdef',
  // As `openssl rand -base64 32` makes them: "/" and "=" cannot stand in a subprotocol.
  'a token that it cannot carry': 'c2VjcmV0IHNlY3JldCBz/WNyZXQgc2VjcmV0IA==',
};

export async function run({ check, chromium, startGateway }) {
  const backend = await WsBackend.start({ onConnection: echo });
  const browser = await startBrowser(chromium);
  for (const [name, token] of Object.entries(TOKENS)) {
    const gateway = await startGateway({ backend: backend.url, routes: { all: '/*' }, token });
    await check(
      name,
      async () => {
        const visitor = await Visitor.open(browser, gateway.page);
        assert.equal(visitor.response.status(), 200, 'the page itself is for everybody');
        await visitor.shows('#token-title', /asks for a token/);
        assert.equal(await visitor.focused(), 'token-text');
        await visitor.fill('#token-text', 'fedcba9876543210');
        await visitor.press('Enter');
        await visitor.shows('#token-problem', /another one/);
        await visitor.fill('#token-text', token);
        await visitor.press('Enter');
        await visitor.isLive();
        await visitor.shows('#range', /No live session/);
        // A reload of the page does not ask again.
        await visitor.page.reload();
        await visitor.isLive();
        assert.ok(
          visitor.requests.every((url) => !url.includes(token)),
          'it is in no address',
        );
        assert.equal(await visitor.page.evaluate(() => document.cookie), '');
        await visitor.click('#forget');
        await visitor.shows('#link', /Waiting for a token/);
        assert.equal(await visitor.page.locator('#token').isVisible(), true);
        visitor.check(gateway.page);
        await visitor.close();
      },
      180_000,
    );
  }
}
