// Where programs are. Debian has its daemons in /usr/sbin, which a user's PATH may lack.

import { execFileSync } from 'node:child_process';

export function find(program) {
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  return execFileSync('sh', ['-c', `command -v ${program}`], { env: { ...process.env, PATH: path }, encoding: 'utf8' }).trim();
}

export function isInstalled(program) {
  try {
    return Boolean(find(program));
  } catch {
    return false;
  }
}
