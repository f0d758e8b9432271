// The columns of the session table, and what a row shows of a session.

import { attribute, el, say, sayName } from './dom.js';
import { amount, bytes, duration, millis } from './format.js';

export const messages = (tally) => tally.text_messages + tally.binary_messages;
export const carried = (tally) => tally.text_bytes + tally.binary_bytes;
export const micros = (value) => millis(value == null ? undefined : value / 1000);

/**
 * `of` is what is compared, `show` what is written; a `name` is somebody else's word; `short` is for narrow places, where
 * what is `spare` is left out.
 */
export const COLUMNS = [
  { title: 'Number', kind: 'key', of: (one) => one.number },
  { title: 'Route', kind: 'name', of: (one) => one.route },
  { title: 'Server', kind: 'name', of: (one) => one.server },
  { title: 'Client', kind: 'name', of: (one) => one.client ?? 'unknown' },
  { title: 'Age', of: (one) => one.age_ms, show: (age) => duration(age / 1000) },
  {
    title: 'Messages',
    group: 'From the client',
    short: 'Client msgs',
    of: (one) => messages(one.from_client),
    show: amount,
  },
  {
    title: 'Payload',
    group: 'From the client',
    short: 'Client bytes',
    of: (one) => carried(one.from_client),
    show: bytes,
  },
  {
    title: 'Messages',
    group: 'From the backend',
    short: 'Backend msgs',
    of: (one) => messages(one.from_backend),
    show: amount,
  },
  {
    title: 'Payload',
    group: 'From the backend',
    short: 'Backend bytes',
    of: (one) => carried(one.from_backend),
    show: bytes,
  },
  { title: 'Client', group: 'Ping', spare: true, of: (one) => one.rtt_us.client, show: micros },
  { title: 'Backend', group: 'Ping', spare: true, of: (one) => one.rtt_us.backend, show: micros },
  { title: 'Waiting', group: 'Held', spare: true, of: (one) => one.waiting_bytes, show: bytes },
  { title: 'Throttled', group: 'Held', spare: true, of: (one) => one.throttled_ms, show: millis },
];

/** With the group's own word, where the group is not to be seen. */
export const fullTitle = ({ group, title }) => (group ? `${group}: ${title.toLowerCase()}` : title);

const classOf = ({ kind, spare }) => `${kind === undefined ? 'number' : ''} ${spare ? 'spare' : ''}`.trim() || null;

/** The head: groups over columns, each column with a button that sorts by it. */
export function head(onSort) {
  const groups = el('tr', { role: 'row' });
  const titles = el('tr', { role: 'row' });
  COLUMNS.forEach((column, index) => {
    const label = column.group ? fullTitle(column) : null;
    const button = el(
      'button',
      { type: 'button', title: `Sort by ${fullTitle(column)}`, 'aria-label': label },
      column.title,
    );
    button.addEventListener('click', () => onSort(index));
    const heading = el('th', { role: 'columnheader', scope: 'col', class: classOf(column) }, button);
    if (!column.group) {
      heading.rowSpan = 2;
      groups.append(heading);
      return;
    }
    if (COLUMNS[index - 1].group !== column.group) {
      const width = COLUMNS.filter(({ group }) => group === column.group).length;
      groups.append(
        el(
          'th',
          { role: 'columnheader', scope: 'colgroup', colspan: width, class: `group ${column.spare ? 'spare' : ''}` },
          column.group,
        ),
      );
    }
    titles.append(heading);
  });
  groups.append(el('th', { role: 'columnheader', scope: 'col', rowspan: 2 }, el('span', { class: 'unseen' }, 'Kick')));
  return { rows: [groups, titles], mark: (sorted, down) => markSorted([groups, titles], sorted, down) };
}

function markSorted(rows, sorted, down) {
  const headings = rows.flatMap((row) => [...row.children]).filter((heading) => heading.querySelector('button'));
  // The order of the buttons is that of the columns within each row, not over both.
  const order = [...COLUMNS.keys()].toSorted(
    (a, b) => Number(Boolean(COLUMNS[a].group)) - Number(Boolean(COLUMNS[b].group)) || a - b,
  );
  headings.forEach((heading, at) => {
    const is = order[at] === sorted;
    attribute(heading, 'aria-sort', is ? (down ? 'descending' : 'ascending') : null);
  });
}

/** One line of the table, written again as its session goes on. */
export class Row {
  #cells;

  constructor(session, { onOpen, onKick }) {
    this.number = session.number;
    this.open = el('button', { type: 'button', class: 'open', tabindex: '-1' }, String(session.number));
    this.kick = el(
      'button',
      { type: 'button', class: 'kick', tabindex: '-1', 'aria-label': `Kick session ${session.number}` },
      'Kick',
    );
    this.open.addEventListener('click', () => onOpen(this.session));
    this.kick.addEventListener('click', () => onKick(this.session));
    this.#cells = COLUMNS.map((column) =>
      el('td', { role: 'gridcell', class: classOf(column), 'data-title': column.short }),
    );
    this.#cells[0].append(this.open);
    this.node = el('tr', { role: 'row' }, ...this.#cells, el('td', { role: 'gridcell', class: 'act' }, this.kick));
    this.show(session);
  }

  show(session) {
    this.session = session;
    COLUMNS.slice(1).forEach(({ kind, of, show }, index) => {
      const cell = this.#cells[index + 1];
      if (kind === 'name') sayName(cell, of(session));
      else say(cell, show(of(session)));
    });
    const { ending } = session;
    this.node.classList.toggle('ending', Boolean(ending));
    attribute(this.node, 'title', ending ? `Told to go: ${ending.cause}, code ${ending.code}` : null);
    say(this.kick, ending ? ending.cause : 'Kick');
  }
}
