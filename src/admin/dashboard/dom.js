// What the page is made of. Whatever comes from the gateway goes in as text, never as markup: the page's own policy
// (require-trusted-types-for) would not have it otherwise.

export const $ = (id) => document.getElementById(id);

/** `attributes` that are null are left out. Children are nodes or text. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** Leaves a node alone that says it already, so that a selection in it and a screen reader's place stay. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function attribute(node, name, value) {
  if (value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** A name that somebody else chose: what cannot be seen, or would turn the line around, is spelled out. */
export function visible(text) {
  return String(text).replace(UNSEEN, (unseen) => `\\u{${unseen.codePointAt(0).toString(16)}}`);
}

/** Such a name in a cell of its own: its direction stays inside, and what does not fit is in the tooltip. */
export function name(text) {
  const shown = visible(text);
  return el('bdi', { class: 'name', title: shown }, shown);
}

export function sayName(node, text) {
  const shown = visible(text);
  if (node.textContent === shown && node.firstElementChild) return;
  node.replaceChildren(name(text));
}

/** A line at the lower edge: what came of something that was done. */
let hiding;
export function notice(text) {
  $('notice').hidden = false;
  $('notice-text').textContent = text;
  clearTimeout(hiding);
  hiding = setTimeout(hideNotice, 12_000);
}

export function hideNotice() {
  $('notice').hidden = true;
}
