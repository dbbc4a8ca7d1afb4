import { BelladonnaError } from '../core/error.ts'
import type { Owner } from './directory.ts'
import { ownerOfId, readTable, systemPlaces } from './reserved-id.ts'
import type { IdPlaces } from './reserved-id.ts'

/**
 * Used where no user `belladonna` exists: set-up adds none. Above Debian's static ids. It lies among systemd's dynamic
 * ones (61184 to 65519), where it is one of four thousand; a host that runs a bridge for good has the user.
 */
export const reservedBrokerId = 61_200

/**
 * Which ids the broker runs with: those of the user `belladonna`, else the reserved ones, which nobody else may have. A user
 * that the configuration names must be there.
 *
 * @throws {BelladonnaError} `start_failed` when the reserved id belongs to somebody
 */
export function brokerIdentity(places: IdPlaces = systemPlaces, user: string | null = null): Owner {
  const name = user ?? 'belladonna'
  const named = readTable(places.passwd).find((fields) => fields[0] === name)
  if (named !== undefined) {
    const [uid, gid] = [Number(named[2]), Number(named[3])]
    if (isServiceId(uid) && isServiceId(gid)) return { uid, gid }
    throw new BelladonnaError('start_failed', `the user ${name} has no ids of an ordinary user`)
  }
  if (user !== null) throw new BelladonnaError('start_failed', `no user ${user}`)
  const taken = ownerOfId(reservedBrokerId, places)
  if (taken !== undefined) {
    throw new BelladonnaError(
      'start_failed',
      `id ${reservedBrokerId} belongs to ${taken}: add a user belladonna with another`,
    )
  }
  return { uid: reservedBrokerId, gid: reservedBrokerId }
}

/** Whether a service may run with this id: nobody's and root's are out. */
export function isServiceId(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id < 0xffff_fffe && id !== 65_534
}
