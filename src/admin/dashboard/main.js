// The page at the admin address, put together: one live connection, and the views that follow it.

import { token } from './api.js';
import { Charts } from './charts.js';
import { Detail } from './detail.js';
import { $, attribute, el, hideNotice, name, say } from './dom.js';
import { ago, clock, count, duration } from './format.js';
import { History } from './history.js';
import * as kick from './kick.js';
import { Link } from './link.js';
import { Sessions } from './sessions.js';
import { Tables } from './tables.js';

const history = new History();
const charts = new Charts(history);
const tables = new Tables();
let status;
let state = { live: false, text: 'Connecting' };

const sessions = new Sessions({
  onOpen: (session) => detail.open(session),
  idle: () => !state.live || charts.held || Boolean(document.querySelector('dialog[open]')),
});
const detail = new Detail({ onKicked: () => sessions.refresh() });

const link = new Link({
  onStatus(told, at) {
    status = told;
    if (at !== null) history.add(told, at);
    show();
  },
  onState(told) {
    const began = told.live && !state.live;
    state = told;
    showLink();
    charts.draw(told.live);
    if (began) sessions.refresh();
  },
  onToken(wrong) {
    say($('token-problem'), wrong ? 'The gateway has another one.' : '');
    if (!$('token').open) $('token').showModal();
  },
});

function show() {
  showStanding();
  showAbout();
  sessions.offer(status);
  if (!charts.held) {
    charts.draw(state.live);
    tables.show(status, history, charts.span);
  }
  sessions.tick();
}

function showStanding() {
  const { ready, sessions: { live } = {} } = status;
  say($('standing'), ready === false ? 'draining' : 'ready');
  attribute($('standing'), 'data-ready', String(ready !== false));
  document.title = `${count(live)} live · ${location.host} · framegate`;
}

function showAbout() {
  const { version, pid, uptime_s, workers, config = {} } = status;
  const last = config.last_reload;
  const facts = {
    Version: version,
    Process: String(pid ?? '–'),
    Up: duration(uptime_s),
    Workers: String(workers ?? '–'),
    Configuration: `${config.file ?? 'none'}, no. ${config.generation ?? '–'}`,
    'Last reload': last ? `${last.ok ? 'succeeded' : 'failed'} ${ago(Date.now() / 1000 - last.at)}` : 'none',
  };
  const about = $('about');
  if (about.children.length === 0) {
    about.append(...Object.keys(facts).map((title) => el('div', {}, el('dt', {}, title), el('dd'))));
  }
  Object.values(facts).forEach((text, at) => {
    const place = about.children[at].lastChild;
    if (place.textContent !== text) place.replaceChildren(name(text));
  });
}

function showLink() {
  const { live, text, retryAt, heard } = state;
  const now = Date.now();
  say($('link'), text);
  // Beside what is read out loud, which would otherwise be every second.
  const old = !live && heard;
  say($('link-age'), old ? `What is shown is of ${clock(heard / 1000)}, ${duration((now - heard) / 1000)} old.` : '');
  $('again').hidden = !retryAt;
  say($('again'), retryAt ? `Try now (by itself in ${Math.max(0, Math.ceil((retryAt - now) / 1000))} s)` : 'Try now');
  $('forget').hidden = !token.get();
  document.documentElement.dataset.link = live ? 'live' : heard ? 'old' : 'none';
}

function askForToken() {
  $('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    token.set($('token-text').value.trim());
    $('token-text').value = '';
    $('token').close();
    link.start();
  });
  // Without it there is nothing to see: closing the dialog leaves a way back to it.
  $('token').addEventListener('cancel', () => {
    state = { live: false, text: 'A token is needed', retryAt: Date.now() };
    showLink();
  });
  $('forget').addEventListener('click', () => {
    token.forget();
    link.start();
  });
}

askForToken();
kick.prepare();
$('again').addEventListener('click', () => link.start());
$('notice-close').addEventListener('click', hideNotice);
setInterval(() => state.live || showLink(), 1000);
charts.draw();
link.start();
