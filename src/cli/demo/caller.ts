import { readFileSync } from 'node:fs'
import { BelladonnaError } from '../../core/error.ts'

/**
 * Who makes the demo's requests: as root an id that belongs to nobody, with Debian's group `sudo`, which the example
 * policy grants to; else ourselves.
 */
export type Caller =
  | Readonly<{ kind: 'other'; uid: number; gid: number; groups: readonly number[] }>
  | Readonly<{ kind: 'self'; uid: number }>

const reservedCallerId = 61_210

/** @throws {BelladonnaError} `start_failed` when the reserved id is somebody's, or there is no group `sudo` */
export function chooseCaller(): Caller {
  const uid = process.geteuid?.() ?? 0
  if (uid !== 0) return { kind: 'self', uid }
  const groups = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  const users = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
  if ([...groups, ...users].some((fields) => Number(fields[2]) === reservedCallerId)) {
    throw new BelladonnaError(
      'start_failed',
      `the demo's id ${reservedCallerId} belongs to somebody`,
    )
  }
  const sudo = groups.find((fields) => fields[0] === 'sudo')
  if (sudo === undefined) throw new BelladonnaError('start_failed', 'there is no group sudo')
  return { kind: 'other', uid: reservedCallerId, gid: reservedCallerId, groups: [Number(sudo[2])] }
}

/** The words that run a command as this caller. */
export function asCaller(
  caller: Caller,
  command: readonly string[],
): readonly [string, readonly string[]] {
  if (caller.kind === 'self') return [command[0] ?? '', command.slice(1)]
  const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`]
  const groups = ['--groups', caller.groups.join(',')]
  return ['/usr/bin/setpriv', [...identity, ...groups, '--no-new-privs', ...command]]
}
