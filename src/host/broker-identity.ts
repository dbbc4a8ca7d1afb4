import { BelladonnaError } from '../core/error.ts'
import type { Owner } from './directory.ts'
import { ownerOfId, readTable, systemPlaces } from './reserved-id.ts'
import type { IdPlaces } from './reserved-id.ts'

/**
 * Used where no user `belladonna` exists: set-up adds none. Above Debian's static ids. It lies among systemd's dynamic
 * ones (61184 to 65519), where it is one of four thousand; a host that runs a bridge for good has the user.
 */
const reservedBrokerId = 61_200

/** Of relays, likewise: the user `belladonna-relay` or this. */
const reservedRelayId = 61_201

/**
 * Which ids the broker runs with: those of the user `belladonna`, else the reserved ones, which nobody else may have. A user
 * that the configuration names must be there.
 *
 * @throws {BelladonnaError} `start_failed` when the reserved id belongs to somebody
 */
export function brokerIdentity(places: IdPlaces = systemPlaces, user: string | null = null): Owner {
  if (user === null) return identityOf('belladonna', reservedBrokerId, places)
  const named = ownerNamed(user, places)
  if (named === undefined) throw new BelladonnaError('start_failed', `no user ${user}`)
  return named
}

/**
 * Which ids relays run with. Never the broker's: a relay reads what commands write, which is not to be trusted.
 *
 * @throws {BelladonnaError} `start_failed` when the reserved id belongs to somebody, or the user's ids are the broker's
 */
export function relayIdentity(broker: Owner, places: IdPlaces = systemPlaces): Owner {
  const relay = identityOf('belladonna-relay', reservedRelayId, places)
  if (relay.uid !== broker.uid && relay.gid !== broker.gid) return relay
  throw new BelladonnaError('start_failed', 'the user belladonna-relay has an id of the broker')
}

function ownerNamed(user: string, places: IdPlaces): Owner | undefined {
  const named = readTable(places.passwd).find((fields) => fields[0] === user)
  if (named === undefined) return undefined
  const [uid, gid] = [Number(named[2]), Number(named[3])]
  if (isServiceId(uid) && isServiceId(gid)) return { uid, gid }
  throw new BelladonnaError('start_failed', `the user ${user} has no ids of an ordinary user`)
}

function identityOf(user: string, reserved: number, places: IdPlaces): Owner {
  const named = ownerNamed(user, places)
  if (named !== undefined) return named
  const taken = ownerOfId(reserved, places)
  if (taken !== undefined) {
    throw new BelladonnaError(
      'start_failed',
      `id ${reserved} belongs to ${taken}: add a user ${user} with another`,
    )
  }
  return { uid: reserved, gid: reserved }
}

/** Whether a service may run with this id: nobody's and root's are out. */
export function isServiceId(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id < 0xffff_fffe && id !== 65_534
}
