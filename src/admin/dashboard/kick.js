// Sending sessions away: who, with which code, and only after being asked once more.

import { post } from './api.js';
import { $, el, name, notice } from './dom.js';
import { count } from './format.js';

let asked;

/** `facts`: pairs of a title and a name. `onDone` runs after the gateway agreed. */
export function askToKickOne(session, onDone) {
  const { number, id, route, server, client } = session;
  const facts = [
    ['Route', route],
    ['Server', server],
    ['Client', client ?? 'unknown'],
    ['Request id', id],
  ];
  open({ body: { id: number }, title: `Kick session ${number}`, go: 'Kick it', facts, onDone });
}

/** `filter` as the gateway takes it; `total` sessions fit it now. */
export function askToKickAll(filter, total, onDone) {
  const titles = { route: 'Route', server: 'Server', address: 'Client address', min_age: 'At least this old' };
  const facts = Object.entries(filter).map(([word, value]) => [titles[word], value]);
  const title = `Kick ${count(total)} ${total === 1 ? 'session' : 'sessions'}`;
  open({ body: filter, title, go: title, facts, total, onDone });
}

function open(about) {
  asked = about;
  const many = about.total !== undefined;
  $('kick-title').textContent = about.title;
  $('kick-go').textContent = about.go;
  $('kick-facts').replaceChildren(
    ...about.facts.flatMap(([title, value]) => [el('dt', {}, title), el('dd', {}, name(value))]),
  );
  $('kick-over-row').hidden = !many;
  $('kick-sure-row').hidden = !many;
  $('kick-sure-title').textContent = many ? `Type ${about.total} to confirm` : '';
  $('kick-sure').value = '';
  // What was chosen for another session is not meant for this one.
  $('kick-code').value = '1012';
  showOwn(false);
  $('kick-problem').textContent = '';
  $('kick-go').disabled = false;
  $('kick').showModal();
}

function showOwn(own) {
  $('kick-own-row').hidden = !own;
  // A field that nobody sees must not hold the form back.
  $('kick-own').disabled = !own;
}

function code() {
  const chosen = $('kick-code').value;
  return Number(chosen === 'own' ? $('kick-own').value : chosen);
}

async function go(event) {
  event.preventDefault();
  const { body, total, onDone } = asked;
  if (total !== undefined && $('kick-sure').value.replace(/\D/g, '') !== String(total)) {
    $('kick-problem').textContent = `Type ${total} to confirm that so many sessions end.`;
    $('kick-sure').focus();
    return;
  }
  const order = { ...body, code: code() };
  if (total !== undefined) order.over = $('kick-over').value.trim() || '0s';
  $('kick-go').disabled = true;
  try {
    const { kicked } = await post('/kick', order);
    $('kick').close();
    notice(`${count(kicked)} ${kicked === 1 ? 'session is' : 'sessions are'} told to go, with code ${order.code}.`);
    onDone();
  } catch (error) {
    $('kick-problem').textContent = error.message;
  } finally {
    $('kick-go').disabled = false;
  }
}

export function prepare() {
  $('kick-form').addEventListener('submit', go);
  $('kick-cancel').addEventListener('click', () => $('kick').close());
  $('kick-code').addEventListener('change', ({ target }) => showOwn(target.value === 'own'));
}
