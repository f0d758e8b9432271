// Nothing drops when something changes: 200 clients on route A while route B comes and goes fifty times, ten files are
// broken, ten certificates are swapped and one process hands over to the next.

import assert from 'node:assert/strict';
import { descriptorsOf } from '../lib/group.mjs';
import { Framegate } from '../lib/framegate.mjs';
import { BROKEN, CLIENTS, Story, TURNS } from '../lib/story.mjs';

/**
 * What a process may have more at the end of its share of the changes than after the first of them. It holds a session
 * more every half second, of 6 KB each; the rest is what an allocator keeps at hand.
 */
const GROWTH_KIB = 2048;

export const SHUTDOWN = 'drain_timeout = "8s"\nclose_spread = "3s"';

export async function run({ check, ca, left, startedWith }) {
  const story = await Story.prepare(Framegate, { shutdown: SHUTDOWN }, ca);
  const { proxy } = story;
  startedWith(proxy);
  const figures = await story.run();
  left.framegate = figures;
  left.metrics = await proxy.metrics();
  const { looks, suffered } = figures;
  print(figures);

  await check('every change came about as it should', () => assert.deepEqual(figures.failures, []));
  await check('no attempt to connect was refused', () => assert.deepEqual([...story.fleet.refused], []));
  await check('only the drain of the old process ended sessions on A, each with 1012', () => {
    const others = suffered.filter(({ closed, era }) => closed.code !== 1012 || closed.reason !== 'drain' || era > 0);
    assert.deepEqual(others.map(({ name, era, closed }) => ({ name, era, ...closed })), []);
    assert.ok(suffered.length >= CLIENTS, `${suffered.length} were sent away: did anybody hand over?`);
  });
  await check('no message was lost', () => {
    assert.equal(figures.lost, 0);
    assert.equal(figures.unanswered, 0);
    // An answer that comes after our Close has nowhere to go (RFC 6455 5.5.1). A client has one message under way or none.
    assert.ok(figures.overtaken <= suffered.length, `${figures.overtaken} answers were too late`);
  });
  await check('none was doubled, reordered or altered, and nobody saw a breach of the protocol', () => {
    assert.deepEqual(figures.disorder, []);
  });
  await check(`memory stays within ${GROWTH_KIB} KiB, in either process`, () => {
    const grown = [
      ['the first process', looks.early, looks.beforeHandOver],
      ['the second process', looks.afterHandOver, looks.end],
    ];
    for (const [which, from, to] of grown) {
      const more = to.memory - from.memory;
      assert.ok(more <= GROWTH_KIB, `${which} grew by ${more} KiB, from ${from.memory}`);
    }
  });
  await check('one process is left, with a descriptor for each end of a session and few more', () => {
    assert.equal(looks.end.pids.length, 1);
    const sessions = story.fleet.size;
    const spare = descriptorsOf(proxy.pid) - 2 * sessions;
    assert.ok(spare < 64, `${spare} beside those of ${sessions} sessions`);
  });
  await check('the metrics of the second process tell what it did', () => {
    const value = (series) => Number(new RegExp(`^${series.replace(/[{}]/g, '\\$&')} (\\S+)$`, 'm').exec(left.metrics)?.[1]);
    // It came in turn 25, and each turn since then had two reloads; every fifth a broken file.
    assert.equal(value('framegate_config_reloads_total{result="ok"}'), 2 * (TURNS / 2 + 1));
    assert.equal(value('framegate_config_reloads_total{result="failed"}'), BROKEN / 2 + 1);
    assert.equal(value('framegate_config_last_reload_successful'), 1);
  });
  await story.end();
}

function print({ connections, messages, disconnects, overtaken, visits, looks, spent }) {
  const mib = (look) => `${(look.memory / 1024).toFixed(1)} MiB`;
  console.log(`# ${connections} connections, ${visits} of them new clients, ${messages} messages`);
  console.log(`# ${disconnects} sent away by the hand-over, ${overtaken} answers came after their Close`);
  for (const [what, ms] of spent) console.log(`# ${what}: ${ms.length} times, ${(sum(ms) / ms.length).toFixed(0)} ms each`);
  console.log(`# memory: ${mib(looks.early)} → ${mib(looks.beforeHandOver)}, then ${mib(looks.afterHandOver)} → ${mib(looks.end)}`);
}

const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
