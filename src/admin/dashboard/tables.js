// The state beside the charts: routes, servers, causes, certificates, listeners; and what an operator should see to.

import { $, el, name, say, visible } from './dom.js';
import { ago, count, day, duration, moment } from './format.js';

/** Certificates are asked about this long before they run out. */
const SOON_S = 14 * 86_400;

const now = () => Date.now() / 1000;

/** A table whose rows are written anew, and only when something in them changed. */
class Listing {
  #written = '';

  constructor(place, empty, columns) {
    Object.assign(this, { place, empty, columns });
    this.body = el('tbody');
    const head = columns.map(({ title, number }) => el('th', { scope: 'col', class: number ? 'number' : null }, title));
    this.table = el('table', { class: 'plain' }, el('thead', {}, el('tr', {}, ...head)), this.body);
    this.box = el('div', { class: 'rows' }, this.table);
    this.none = el('p', { class: 'quiet' }, empty);
    place.append(this.box, this.none);
  }

  /** A column whose title moves with what is shown. */
  retitle(column, text) {
    say(this.table.tHead.rows[0].cells[column], text);
  }

  /** A row is an array of cells: text, `{ name }` for what others chose, `{ share }` for a bar, `{ bad }` for alarm. */
  show(rows) {
    const written = JSON.stringify(rows);
    if (written === this.#written) return;
    this.#written = written;
    this.box.hidden = rows.length === 0;
    this.none.hidden = rows.length > 0;
    this.body.replaceChildren(...rows.map((row) => el('tr', {}, ...row.map((cell, at) => this.#cell(cell, at)))));
  }

  /** A list that scrolls has to be within reach of the keyboard. */
  get scrolls() {
    return this.box.scrollHeight > this.box.clientHeight + 1;
  }

  #cell(cell, at) {
    const node = el('td', { class: this.columns[at].number ? 'number' : null });
    if (typeof cell !== 'object' || cell === null) node.append(String(cell ?? '–'));
    else if (cell.bad !== undefined) node.append(el('strong', { class: 'bad' }, cell.bad));
    else if (cell.share !== undefined) node.append(bar(cell.share), cell.text);
    else node.append(name(cell.name));
    return node;
  }
}

function bar(share) {
  const filled = el('i');
  filled.style.width = `${Math.round(100 * Math.min(1, share))}%`;
  return el('span', { class: 'share', 'aria-hidden': 'true' }, filled);
}

const LISTINGS = {
  routes: [
    'No routes.',
    [
      { title: 'Route' },
      { title: 'Takes' },
      { title: 'To' },
      { title: 'Live', number: true },
      { title: 'Opened', number: true },
    ],
  ],
  servers: [
    'No servers.',
    [{ title: 'Backend' }, { title: 'Server' }, { title: 'State' }, { title: 'Live', number: true }],
  ],
  ended: ['None has ended.', [{ title: 'Cause' }, { title: '', number: true }, { title: 'Since start', number: true }]],
  refused: [
    'None was refused.',
    [{ title: 'Cause' }, { title: '', number: true }, { title: 'Since start', number: true }],
  ],
  certificates: [
    'No listener has one.',
    [{ title: 'File' }, { title: 'Listener' }, { title: 'Runs out', number: true }],
  ],
  listeners: [
    'None.',
    [{ title: 'Listener' }, { title: 'Bind' }, { title: 'TLS' }, { title: 'Connections', number: true }],
  ],
};

export class Tables {
  #listings = Object.fromEntries(
    Object.entries(LISTINGS).map(([id, [empty, columns]]) => [id, new Listing($(id), empty, columns)]),
  );

  show(status, history, span) {
    const { routes = [], backends = [], certificates = [], listeners = [] } = status;
    this.#listings.routes.show(routesOf(routes));
    this.#listings.servers.show(serversOf(backends));
    for (const kind of ['ended', 'refused']) {
      this.#listings[kind].retitle(1, `Last ${spanOf(history.covers(span))}`);
      this.#listings[kind].show(causesOf(status[kind], history, kind, span));
    }
    this.#listings.certificates.show(certificatesOf(certificates));
    this.#listings.listeners.show(
      listeners.map((one) => [{ name: one.name }, { name: one.bind }, one.tls ? 'yes' : 'no', count(one.connections)]),
    );
    attend(status);
    // Measured last, and all at once: what is written after a measurement has to be laid out again.
    const listings = Object.values(this.#listings);
    listings.map(({ scrolls }) => (scrolls ? 0 : -1)).forEach((tabIndex, at) => (listings[at].box.tabIndex = tabIndex));
  }
}

function routesOf(routes) {
  const most = Math.max(1, ...routes.map(({ live }) => live));
  const sorted = routes.toSorted((a, b) => b.live - a.live);
  return sorted.map(({ name: route, host, path, backend, live, opened }) => {
    const takes = `${[host ?? []].flat().join(', ')}${path ?? ''}` || '/';
    return [
      { name: route },
      { name: takes },
      { name: backend ?? '–' },
      { share: live / most, text: count(live) },
      count(opened),
    ];
  });
}

function serversOf(backends) {
  const servers = backends.flatMap(({ name: backend, servers }) => servers.map((one) => ({ backend, ...one })));
  const most = Math.max(1, ...servers.map(({ live }) => live));
  return servers.map(({ backend, server, state, live }) => [
    { name: backend },
    { name: server },
    state === 'up' ? state : { bad: state },
    { share: live / most, text: count(live) },
  ]);
}

/** A page that was opened a moment ago has not seen what was before. */
const spanOf = (seconds) => (seconds < 60 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`);

function causesOf(totals = {}, history, kind, span) {
  const grown = history.grown(kind, (history.latest?.at ?? 0) - span);
  const sorted = Object.entries(totals).toSorted(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
  const most = Math.max(1, ...sorted.map(([cause]) => grown[cause] ?? 0));
  return sorted.map(([cause, total]) => {
    const recent = grown[cause] ?? 0;
    return [{ name: cause }, { share: recent / most, text: count(recent) }, count(total)];
  });
}

function certificatesOf(certificates) {
  const sorted = certificates.toSorted((a, b) => a.not_after - b.not_after);
  return sorted.map(({ names = [], listener, file, not_after }) => {
    const left = not_after - now();
    const when =
      left < 0 ? 'has run out' : `${day(not_after)}, ${left < 86_400 ? 'today' : `${Math.floor(left / 86_400)} d`}`;
    return [{ name: file }, { name: [listener, ...names].join(', ') }, left < SOON_S ? { bad: when } : when];
  });
}

/** What is out of order, in words. */
function attend(status) {
  showAttention([
    ...(status.ready === false ? ['The gateway is draining: it takes no new sessions, and /readyz says so.'] : []),
    ...reloadProblem(status.config ?? {}),
    ...(status.backends ?? []).flatMap(backendProblem),
    ...(status.certificates ?? []).flatMap(certificateProblem),
  ]);
}

function reloadProblem({ last_reload: last, loaded }) {
  if (!last || last.ok) return [];
  const lines = String(last.problem ?? '')
    .split('\n')
    .filter(Boolean)
    .map(visible);
  return [
    [`The last reload failed ${ago(now() - last.at)}; the configuration of ${moment(loaded)} stands.`, ...lines].join(
      '\n',
    ),
  ];
}

function backendProblem({ name: backend, servers }) {
  const down = servers.filter(({ state }) => state !== 'up');
  if (down.length === 0) return [];
  const which =
    down.length > 3
      ? `${down.length} of ${servers.length} servers`
      : down.map(({ server }) => short(server)).join(', ');
  const all = down.length === servers.length ? ', and it has no other' : '';
  return [`Backend ${short(backend)}: ${which} ${down.length > 1 ? 'are' : 'is'} not up${all}.`];
}

function certificateProblem({ names = [], listener, file, not_after }) {
  const left = not_after - now();
  if (left >= SOON_S) return [];
  const whose = names.length > 0 ? ` (${names.slice(0, 3).map(short).join(', ')})` : '';
  const which = `The certificate ${short(file)}${whose} of listener ${short(listener)}`;
  return [left < 0 ? `${which} ran out ${duration(-left)} ago.` : `${which} runs out in ${duration(left)}.`];
}

/** In a sentence a name is not cut by its place. */
function short(text) {
  const shown = visible(text);
  return shown.length > 64 ? `${shown.slice(0, 63)}…` : shown;
}

function showAttention(found) {
  const list = $('attention-list');
  $('attention').hidden = found.length === 0;
  while (list.children.length > found.length) list.lastChild.remove();
  while (list.children.length < found.length) list.append(el('li', { dir: 'auto' }));
  found.forEach((text, index) => say(list.children[index], text));
}
