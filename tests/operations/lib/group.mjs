// The processes of the proxy that is being changed: old workers stay behind as processes of their own. All that this run
// started is in one process group, and only one proxy is up at a time.

import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';

const groupOf = (pid) => fields(pid)[2];

/** Behind the name of the program, which may hold anything: state, parent, group, … */
function fields(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** The processes of this program in our group, by id. */
export function processesOf(program) {
  const [group, file] = [groupOf('self'), realpathSync(program)];
  const isOne = (pid) => {
    try {
      const [state, , itsGroup] = fields(pid);
      return itsGroup === group && state !== 'Z' && readlinkSync(`/proc/${pid}/exe`) === file;
    } catch {
      return false; // It has just ended, or is none of ours.
    }
  };
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isOne(name)).map(Number);
}

/** What a process has in memory in KiB, pages that it shares with others counted in parts (PSS). */
export function memoryOf(pid) {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]);
  } catch {
    return 0;
  }
}

export function descriptorsOf(pid) {
  return readdirSync(`/proc/${pid}/fd`).length;
}

export const isAlive = (pid) => {
  try {
    return fields(pid)[0] !== 'Z';
  } catch {
    return false;
  }
};

/** Those that have ended meanwhile need none. */
export function signalAll(pids, signal) {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }
}
