import { BelladonnaError } from '../../core/error.ts'
import { ownUid } from '../../host/own-uid.ts'
import { ownerOfId, readTable, systemPlaces } from '../../host/reserved-id.ts'
import type { IdPlaces } from '../../host/reserved-id.ts'

/**
 * Who makes the demo's requests: as root an id that belongs to nobody, with Debian's group `sudo`, which the example
 * policy grants to; else ourselves.
 */
export type Caller =
  | Readonly<{ kind: 'other'; uid: number; gid: number; groups: readonly number[] }>
  | Readonly<{ kind: 'self'; uid: number }>

const reservedCallerId = 61_210

/** @throws {BelladonnaError} `start_failed` when the reserved id is somebody's, or there is no group `sudo` */
export function chooseCaller(uid: number = ownUid(), places: IdPlaces = systemPlaces): Caller {
  if (uid !== 0) return { kind: 'self', uid }
  const taken = ownerOfId(reservedCallerId, places)
  if (taken !== undefined) {
    throw new BelladonnaError('start_failed', `id ${reservedCallerId} belongs to ${taken}`)
  }
  const sudo = readTable(places.group).find((fields) => fields[0] === 'sudo')
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
