// The Chromium of the distribution, driven over its pipe by playwright-core.

import { playwright } from './packages.mjs';
import { atEnd } from './processes.mjs';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--no-proxy-server',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--ignore-certificate-errors',
];

export async function startBrowser(executablePath) {
  const browser = await playwright.chromium.launch({ executablePath, args: FLAGS, timeout: 180_000 });
  atEnd(() => browser.close());
  return browser;
}
