// What the page makes of the gateway's counts, without a browser.

import assert from 'node:assert/strict';

const DASHBOARD = '../../../src/admin/dashboard';
const { History } = await import(`${DASHBOARD}/history.js`);
const format = await import(`${DASHBOARD}/format.js`);

/** A status at `second` of one process. */
function status(opened, more = {}) {
  return {
    pid: 7,
    started: 1000,
    sessions: { live: opened, opened, ended: 0, refused: 0 },
    messages: { from_client: 10 * opened },
    ...more,
  };
}

export async function run({ check }) {
  await check('counts become rates', () => {
    const history = new History();
    history.add(status(100), 1000);
    assert.deepEqual(history.latest.rates, {}, 'one look is no rate');
    history.add(status(130), 1002);
    assert.equal(history.latest.rates.opened, 15);
    assert.equal(history.latest.rates.messagesFromClient, 150);
    history.add(status(131), 1002.1);
    assert.equal(history.samples.length, 2, 'too close to be a rate');
  });

  await check('a restart is a gap, not a fall', () => {
    const history = new History();
    history.add(status(100), 1000);
    history.add(status(3, { pid: 8 }), 1001);
    assert.equal(history.latest.gap, true);
    assert.deepEqual(history.latest.rates, {});
    history.add(status(5, { pid: 8 }), 1002);
    assert.equal(history.latest.rates.opened, 2);
  });

  await check('time without news is a gap', () => {
    const history = new History();
    history.add(status(100), 1000);
    history.add(status(900), 1060);
    assert.equal(history.latest.gap, true);
    assert.equal(history.seenAt(1030), undefined);
    assert.equal(history.seenAt(1060), history.latest);
  });

  await check('ten minutes are kept, and a clock that is set back starts anew', () => {
    const history = new History();
    for (let second = 0; second < 2000; second += 1) history.add(status(second), 1000 + second);
    assert.ok(history.samples.length >= 600 && history.samples.length < 620, `${history.samples.length}`);
    history.add(status(2000), 500);
    assert.equal(history.samples.length, 1);
  });

  await check('causes count from the span that is shown', () => {
    const history = new History();
    history.add(status(1, { ended: { closed: 50, drain: 9 } }), 1000);
    history.add(status(1, { ended: { closed: 52, drain: 9 } }), 1002);
    history.add(status(1, { ended: { closed: 57, drain: 9, kick: 1 } }), 1004);
    assert.deepEqual(history.grown('ended', 1001), { closed: 5, drain: 0, kick: 1 });
    assert.deepEqual(history.grown('ended', 0), { closed: 7, drain: 0, kick: 1 });
    assert.deepEqual([history.covers(300), history.covers(2)], [4, 2]);
  });

  await check('round trips are those of the last minute', () => {
    const history = new History();
    const rtt = (fast, slow) => ({
      client: {
        p50_ms: 77,
        p99_ms: 78,
        buckets: [
          [10, fast],
          [20, slow],
          [null, 0],
        ],
      },
    });
    history.add(status(1, { rtt: rtt(1000, 0) }), 1000);
    assert.equal(history.latest.rtt.client.p50_ms, undefined, 'what was before is not of the last minute');
    history.add(status(1, { rtt: rtt(1000, 100) }), 1003);
    assert.deepEqual(history.latest.rtt.client, { p50_ms: 15, p99_ms: 19.9 });
    history.add(status(1, { rtt: rtt(1000, 100) }), 1100);
    history.add(status(1, { rtt: rtt(1000, 100) }), 1103);
    assert.equal(history.latest.rtt.client.p50_ms, null, 'nobody was pinged');
    assert.equal(history.latest.rtt.backend.p50_ms, undefined);
  });

  await check('numbers as they are read', () => {
    const { amount, bytes, count, duration, millis } = format;
    const table = [
      [
        amount,
        [
          [0, '0'],
          [0.23, '0.2'],
          [9.94, '9.9'],
          [9.97, '10'],
          [1204, '1,204'],
          [12_345, '12.3k'],
          [999_600, '1.00M'],
        ],
      ],
      [
        bytes,
        [
          [0, '0 B'],
          [999, '999 B'],
          [1000, '0.98 KiB'],
          [1536, '1.50 KiB'],
          [5 * 1024 ** 3, '5.00 GiB'],
        ],
      ],
      [
        millis,
        [
          [0.42, '0.42 ms'],
          [12.34, '12.3 ms'],
          [1200, '1.20 s'],
          [0, '0 ms'],
        ],
      ],
      [
        duration,
        [
          [0, '0 s'],
          [59.9, '59 s'],
          [61, '1 min 01 s'],
          [12_000, '3 h 20 min'],
          [200_000, '2 d 7 h'],
        ],
      ],
      [count, [[1234567, '1,234,567']]],
    ];
    for (const [show, rows] of table) {
      for (const [value, text] of rows) assert.equal(show(value), text, `${show.name}(${value})`);
      for (const unknown of [undefined, null, NaN]) assert.equal(show(unknown), '–');
    }
  });
}
