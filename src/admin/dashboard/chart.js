// One chart: up to four lines over the last minutes, their values beside it, and a sentence for those who do not see it.
// Lines differ by dash as well as by colour.

import { attribute, el, say, svg } from './dom.js';

const WIDTH = 1000;
const HEIGHT = 100;

/** The next of 1, 2, 5, 10, 20 …, so that the scale moves seldom. `base` 1024 for bytes. */
function ceiling(value, base, least) {
  if (!(value > least)) return least;
  const unit = base === 1024 ? 1024 ** Math.floor(Math.log2(value) / 10) : 1;
  const power = 10 ** Math.floor(Math.log10(value / unit));
  const step = [1, 2, 5, 10].find((one) => one * power * unit >= value);
  return step * power * unit;
}

const key = (style) => {
  const line = svg('svg', { class: `key line-${style}`, viewBox: '0 0 22 8', 'aria-hidden': 'true' });
  line.append(svg('path', { d: 'M0 4H22' }));
  return line;
};

export class Chart {
  #lines = [];
  #values = [];

  /**
   * `series(history)`: `[{ label, of: (sample) => value }]`, the first one being the chart's own figure. `show` writes a
   * value with its unit, `unit` says in the title what is counted.
   */
  constructor({ title, unit, series, show, base = 10, least = 1 }) {
    Object.assign(this, { title, unit, series, show, base, least });
    this.legend = el('ul', { class: 'legend' });
    this.top = el('span', { class: 'top' });
    this.plot = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
    this.grid = svg('path', { class: 'grid', d: `M0 0H${WIDTH}M0 50H${WIDTH}` });
    this.floor = svg('path', { class: 'floor', d: `M0 ${HEIGHT}H${WIDTH}` });
    this.cursor = svg('path', { class: 'cursor' });
    this.plot.append(this.grid, this.floor, this.cursor);
    this.from = el('span');
    this.to = el('span');
    const heading = el('h3', {}, title, ' ', el('span', { class: 'unit' }, unit));
    const area = el('div', { class: 'plot' }, this.top, this.plot);
    const axis = el('p', { class: 'axis', 'aria-hidden': 'true' }, this.from, this.to);
    this.node = el('figure', { class: 'chart' }, el('figcaption', {}, heading, this.legend), area, axis);
  }

  /** Draws what lies between `from` and `to`, which is called `end`, and says what was so at `at`. */
  draw(history, { from, to, at, span, end }) {
    const series = this.series(history);
    const samples = history.samples.filter((sample) => sample.at >= from - 1 && sample.at <= to);
    const values = series.map(({ of }) => samples.map((sample) => number(of(sample))));
    const highest = Math.max(0, ...values.flat().filter((value) => value !== null));
    const top = ceiling(highest, this.base, this.least);
    const x = (time) => ((time - from) / (to - from)) * WIDTH;
    const y = (value) => HEIGHT - (value / top) * HEIGHT;
    this.#fit(series);
    series.forEach(({ label, of }, index) => {
      attribute(this.#lines[index], 'd', path(samples, values[index], x, y));
      const sample = history.seenAt(at);
      const value = sample ? number(of(sample)) : null;
      say(this.#values[index].value, this.show(value));
      if (this.#values[index].label.textContent !== label) say(this.#values[index].label, label);
    });
    attribute(this.cursor, 'd', at < to ? `M${x(at).toFixed(1)} 0V${HEIGHT}` : null);
    say(this.top, this.show(top).replace(/\.0+(?!\d)/, ''));
    say(this.from, `${span / 60} min ${end === 'now' ? 'ago' : 'before'}`);
    say(this.to, end);
    attribute(this.plot, 'aria-label', this.#sentence(series, values, span, end));
  }

  #fit(series) {
    while (this.#lines.length < series.length) {
      const index = this.#lines.length;
      const line = svg('path', { class: `line line-${index}` });
      const value = el('b');
      const label = el('span', { class: 'name' });
      this.#lines.push(line);
      this.#values.push({ value, label, item: el('li', {}, key(index), value, ' ', label) });
      this.plot.insertBefore(line, this.cursor);
      this.legend.append(this.#values[index].item);
    }
    this.#lines.forEach((line, index) => {
      const unused = index >= series.length;
      line.toggleAttribute('hidden', unused);
      if (unused) line.removeAttribute('d');
      this.#values[index].item.hidden = unused;
    });
  }

  #sentence(series, values, span, end) {
    const lines = series.map(({ label }, index) => {
      const seen = values[index].filter((value) => value !== null);
      if (seen.length === 0) return `${label}: nothing known yet`;
      const [low, high] = [Math.min(...seen), Math.max(...seen)];
      return `${label}: ${end} ${this.show(values[index].at(-1))}, lowest ${this.show(low)}, highest ${this.show(high)}`;
    });
    return `${this.title}, ${this.unit}, ${span / 60} min up to ${end}. ${lines.join('. ')}.`;
  }
}

const number = (value) => (typeof value === 'number' && Number.isFinite(value) ? value : null);

/** A line with a gap wherever nothing is known. */
function path(samples, values, x, y) {
  let drawing = false;
  const steps = samples.map(({ at, gap }, index) => {
    const value = values[index];
    if (value === null) {
      drawing = false;
      return '';
    }
    const step = drawing && !gap ? 'L' : 'M';
    drawing = true;
    return `${step}${x(at).toFixed(1)} ${y(value).toFixed(2)}`;
  });
  return steps.join('') || null;
}
