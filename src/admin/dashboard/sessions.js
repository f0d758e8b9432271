// The session table. The gateway lists sessions by number, which is the order in which they came, a page at a time: that
// is the live list. Any other order needs all of them: a snapshot, taken when it is asked for, that says when that was.

import { get } from './api.js';
import { COLUMNS, Row, fullTitle, head } from './columns.js';
import { $, attribute, el, notice, say, visible } from './dom.js';
import { clock, count } from './format.js';
import { askToKickAll, askToKickOne } from './kick.js';

/** More are not fetched to be sorted; a filter makes them fewer. */
const SORTED_AT_MOST = 10_000;
const FETCHED_AT_ONCE = 1000;

/** A gateway that needs long for a list is asked less often. */
const EVERY_MS = 2000;
const REST = 5;

const WORDS = { route: 'filter-route', server: 'filter-server', address: 'filter-address', min_age: 'filter-min-age' };

export class Sessions {
  #rows = new Map();
  #filter = {};
  #cursors = [0];
  #next = null;
  #total = 0;
  #snapshot = null;
  #asking = 0;
  #due = 0;
  #current = null;
  #column = 'open';

  /** `idle()`: nothing should move now. */
  constructor({ onOpen, idle }) {
    Object.assign(this, { onOpen, idle });
    this.body = $('table').tBodies[0];
    this.head = head((column) => this.#sort(column));
    $('table').tHead.append(...this.head.rows);
    this.head.mark(0, false);
    // Where the table is narrow its head is not to be seen.
    $('order').append(...COLUMNS.map((column, index) => el('option', { value: index }, fullTitle(column))));
    if (matchMedia('(max-width: 40rem)').matches) $('rows').value = '10';
    this.#listen();
  }

  #listen() {
    $('filter').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#refilter();
    });
    $('filter').addEventListener('reset', () => setTimeout(() => this.#refilter()));
    for (const id of ['filter-route', 'filter-server']) $(id).addEventListener('change', () => this.#refilter());
    $('rows').addEventListener('change', () => this.#goTo([0]));
    $('first').addEventListener('click', () => this.#goTo([0]));
    $('previous').addEventListener('click', () => this.#goTo(this.#cursors.slice(0, -1)));
    $('next').addEventListener('click', () => this.#goTo([...this.#cursors, this.#next]));
    $('refresh').addEventListener('click', () => this.#takeSnapshot(this.#snapshot.column, this.#snapshot.down));
    $('order').addEventListener('change', ({ target }) => this.#sort(Number(target.value)));
    $('unsort').addEventListener('click', () => this.#sort(0));
    $('kick-all').addEventListener('click', () => askToKickAll(this.#filter, this.#total, () => this.refresh()));
    this.body.addEventListener('keydown', (event) => this.#move(event));
    this.body.addEventListener('focusin', ({ target }) => this.#makeCurrent(target));
  }

  /** What can be chosen, as the gateway has it now. */
  offer({ routes = [], backends = [] }) {
    fill(
      $('filter-route'),
      routes.map(({ name }) => name),
    );
    fill(
      $('filter-server'),
      backends.flatMap(({ servers }) => servers.map(({ server }) => server)),
    );
  }

  /** To be called every second: the live list follows. */
  tick() {
    if (!this.#snapshot && !document.hidden && !this.idle() && Date.now() >= this.#due) this.refresh();
  }

  refresh() {
    return this.#snapshot ? this.#showSnapshot() : this.#showLive();
  }

  #limit() {
    return Number($('rows').value);
  }

  #refilter() {
    const words = Object.entries(WORDS).map(([word, id]) => [word, $(id).value.trim()]);
    this.#filter = Object.fromEntries(words.filter(([, value]) => value));
    this.#cursors = [0];
    if (this.#snapshot) return this.#takeSnapshot(this.#snapshot.column, this.#snapshot.down);
    return this.refresh();
  }

  #goTo(cursors) {
    this.#cursors = cursors.length > 0 ? cursors : [0];
    $('table').parentElement.scrollTop = 0;
    return this.refresh();
  }

  #ask(limit, after) {
    return get(`/sessions?${new URLSearchParams({ ...this.#filter, limit, after })}`);
  }

  async #showLive() {
    const asking = (this.#asking += 1);
    const begun = Date.now();
    this.#due = Infinity;
    try {
      const page = await this.#ask(this.#limit(), this.#cursors.at(-1));
      if (asking !== this.#asking) return;
      this.#next = page.next;
      this.#total = page.total;
      this.#write(page.sessions);
      say($('sessions-state'), 'live, in the order in which they came');
      this.#problem('');
    } catch (error) {
      if (asking === this.#asking) this.#problem(error.message);
    } finally {
      if (asking === this.#asking) this.#due = Date.now() + Math.max(EVERY_MS, REST * (Date.now() - begun));
    }
  }

  /** By number is the live list; by anything else, a snapshot. The same column again turns it around. */
  #sort(column) {
    this.#cursors = [0];
    if (column === 0) {
      this.#snapshot = null;
      this.#mark(0, false);
      return this.refresh();
    }
    const again = this.#snapshot?.column === column;
    // Of numbers the largest are looked for, of names the first.
    return this.#takeSnapshot(column, again ? !this.#snapshot.down : COLUMNS[column].kind === undefined);
  }

  async #takeSnapshot(column, down) {
    const asking = (this.#asking += 1);
    // The live list does not go on meanwhile: its next page would be taken for the answer.
    this.#due = Infinity;
    say($('sessions-state'), 'fetching all of them');
    try {
      const sessions = [];
      for (let after = 0; after !== null;) {
        const page = await this.#ask(FETCHED_AT_ONCE, after);
        if (asking !== this.#asking) return;
        if (page.total > SORTED_AT_MOST) {
          throw new Error(
            `${count(page.total)} sessions are too many to sort: at most ${count(SORTED_AT_MOST)}, by a filter`,
          );
        }
        sessions.push(...page.sessions);
        after = page.next;
      }
      this.#snapshot = { column, down, at: Date.now() / 1000, sessions: sessions.toSorted(comparing(column, down)) };
      this.#cursors = [0];
      this.#mark(column, down);
      this.#problem('');
      this.#showSnapshot();
    } catch (error) {
      if (asking === this.#asking) {
        notice(error.message);
        say($('sessions-state'), '');
        this.#due = Date.now() + EVERY_MS;
      }
    }
  }

  #mark(column, down) {
    this.head.mark(column, down);
    $('order').value = column;
  }

  #showSnapshot() {
    const { sessions, at } = this.#snapshot;
    const from = this.#cursors.at(-1);
    const to = from + this.#limit();
    this.#next = to < sessions.length ? to : null;
    this.#total = sessions.length;
    this.#write(sessions.slice(from, to));
    say($('sessions-state'), `snapshot of ${clock(at)}, sorted`);
  }

  #problem(text) {
    say($('filter-problem'), text);
  }

  #write(sessions) {
    const kept = new Map();
    const actions = { onOpen: this.onOpen, onKick: (session) => askToKickOne(session, () => this.refresh()) };
    sessions.forEach((session, index) => {
      const row = this.#rows.get(session.number) ?? new Row(session, actions);
      row.show(session);
      kept.set(session.number, row);
      // Rows that are where they belong are not touched: moving one would take the focus away.
      if (this.body.children[index] !== row.node) this.body.insertBefore(row.node, this.body.children[index] ?? null);
    });
    const lost = this.body.contains(document.activeElement) && !kept.has(this.#current);
    const place = [...this.#rows.keys()].indexOf(this.#current);
    for (const [number, row] of this.#rows) if (!kept.has(number)) row.node.remove();
    this.#rows = kept;
    this.#keepCurrent(lost, place);
    this.#count(sessions.length);
  }

  #count(shown) {
    const filtered = Object.keys(this.#filter).length > 0;
    const page = this.#cursors.length;
    const from = (page - 1) * this.#limit();
    const range = shown === 0 ? 'none' : `${count(from + 1)} to ${count(from + shown)}`;
    // Sessions that ended move those behind them up: on a later live page the numbers are about.
    const about = page > 1 && !this.#snapshot ? 'about ' : '';
    say(
      $('range'),
      shown === 0 && this.#total === 0
        ? filtered
          ? 'No session fits.'
          : 'No live session.'
        : `${about}${range} of ${count(this.#total)}`,
    );
    say($('sessions-title'), filtered ? `Sessions that fit: ${count(this.#total)}` : `Sessions: ${count(this.#total)}`);
    $('first').disabled = $('previous').disabled = page === 1;
    $('next').disabled = this.#next === null;
    $('refresh').hidden = $('unsort').hidden = !this.#snapshot;
    $('kick-all').hidden = !filtered || this.#total === 0;
    say($('kick-all'), `Kick these ${count(this.#total)}`);
  }

  // ---- the keyboard: the table is one stop, arrows move inside ------------------------------------------------

  #makeCurrent(target) {
    const row = [...this.#rows.values()].find(({ node }) => node.contains(target));
    if (!row) return;
    this.#column = target === row.kick ? 'kick' : 'open';
    this.#setCurrent(row);
  }

  #setCurrent(row) {
    const before = this.#rows.get(this.#current);
    if (before) before.open.tabIndex = before.kick.tabIndex = -1;
    this.#current = row?.number ?? null;
    if (row) row.open.tabIndex = row.kick.tabIndex = 0;
  }

  /** A row that went takes the focus to the one that is there now, not to the top of the page. */
  #keepCurrent(lost, place) {
    const rows = [...this.#rows.values()];
    const row = this.#rows.get(this.#current) ?? rows[Math.min(Math.max(place, 0), rows.length - 1)];
    this.#setCurrent(row);
    if (lost) (row?.[this.#column] ?? $('sessions')).focus();
  }

  #move(event) {
    const rows = [...this.#rows.values()];
    const at = rows.findIndex(({ number }) => number === this.#current);
    const steps = {
      ArrowDown: at + 1,
      ArrowUp: at - 1,
      PageDown: at + 10,
      PageUp: at - 10,
      Home: 0,
      End: rows.length - 1,
    };
    if (event.key === 'ArrowLeft') this.#column = 'open';
    else if (event.key === 'ArrowRight') this.#column = 'kick';
    else if (!(event.key in steps)) return;
    event.preventDefault();
    const to = rows[Math.min(rows.length - 1, Math.max(0, steps[event.key] ?? at))];
    to?.[this.#column].focus();
  }
}

/** Sessions with nothing to compare come last, whichever way. */
function comparing(column, down) {
  const { of } = COLUMNS[column];
  const order = (x, y) => (x < y ? -1 : x > y ? 1 : 0);
  return (a, b) => {
    const [x, y] = [of(a), of(b)];
    if (x == null || y == null) return Number(x == null) - Number(y == null) || a.number - b.number;
    return order(x, y) * (down ? -1 : 1) || a.number - b.number;
  };
}

/** The choices of a select, with the one that is chosen kept. */
function fill(select, names) {
  const wanted = [...new Set(names)].toSorted();
  const there = [...select.options].slice(1).map(({ value }) => value);
  if (wanted.length === there.length && wanted.every((name, at) => name === there[at])) return;
  const chosen = select.value;
  // What was chosen and is gone can still be the filter of sessions that live on.
  if (chosen && !wanted.includes(chosen)) wanted.push(chosen);
  while (select.options.length > 1) select.options[1].remove();
  select.append(...wanted.map((value) => el('option', { value }, visible(value))));
  select.value = chosen;
  attribute(select, 'title', chosen ? visible(chosen) : null);
}
