// Counts and prints. A check is a function that throws when something is wrong; each has a deadline of its own, so
// that one hung connection costs one FAIL and not the run.

import { within } from './wait.mjs';

const CHECK_MS = 30_000;

const oneLine = (text) => String(text).replace(/\s+/g, ' ').trim().slice(0, 500);

export class Report {
  #direct;
  #passed = 0;
  #failed = 0;
  #closed = false;

  constructor({ direct }) {
    this.#direct = direct;
  }

  /** Takes no more results: when everything is being stopped, the checks still under way fail, and mean nothing. */
  close() {
    this.#closed = true;
  }

  ok(name) {
    if (this.#closed) return;
    this.#passed += 1;
    console.log(`ok ${name}`);
  }

  fail(name, why) {
    if (this.#closed) return;
    this.#failed += 1;
    console.log(`FAIL ${name}: ${oneLine(why)}`);
  }

  skip(name, why) {
    if (this.#closed) return;
    console.log(`skip ${name}: ${why}`);
  }

  /** What a suite needs, with its name put before the name of each check. */
  suite(prefix) {
    const failedBefore = this.#failed;
    const check = async (name, body, ms = CHECK_MS) => {
      const full = `${prefix}: ${name}`;
      try {
        await within(ms, 'the check', Promise.resolve().then(body));
        this.ok(full);
      } catch (error) {
        this.fail(full, error?.message ?? error);
      }
    };
    return {
      check,
      skip: (name, why) => this.skip(`${prefix}: ${name}`, why),
      /** For what only the gateway does: nothing to see when the client talks to the backend itself. */
      checkGateway: (name, body) => (this.#direct ? this.skip(`${prefix}: ${name}`, 'needs the gateway') : check(name, body)),
      /** Takes over a result line printed by a program that runs checks of its own. */
      relay: (line) => {
        const [, kind, name, why] = /^(ok|FAIL|skip) ([^:]*)(?:: (.*))?$/.exec(line) ?? [];
        if (kind === 'ok') this.ok(`${prefix}: ${name}`);
        else if (kind === 'FAIL') this.fail(`${prefix}: ${name}`, why);
        else if (kind === 'skip') this.skip(`${prefix}: ${name}`, why);
        else console.error(`# ${prefix}: ${line}`);
      },
      failures: () => this.#failed - failedBefore,
    };
  }

  /** Prints the last line and returns the exit code. No check at all is a failure: it proves nothing. */
  summary() {
    console.log(`${this.#passed} passed, ${this.#failed} failed`);
    return this.#failed === 0 && this.#passed > 0 ? 0 : 1;
  }
}
