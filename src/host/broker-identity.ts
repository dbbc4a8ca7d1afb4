import { readFileSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import type { Owner } from './directory.ts'

/** Used where no user `belladonna` exists: set-up adds none. Above Debian's static ids, below its dynamic ones. */
export const reservedBrokerId = 61_200

/**
 * Which ids the broker runs with: those of the user `belladonna`, else the reserved ones, which nobody else may have.
 *
 * Read from the local files, never through NSS: a directory server must not choose who our broker is.
 *
 * @throws {BelladonnaError} `start_failed` when the reserved id belongs to somebody
 */
export function brokerIdentity(passwdFile = '/etc/passwd', groupFile = '/etc/group'): Owner {
  const users = readTable(passwdFile)
  const named = users.find((fields) => fields[0] === 'belladonna')
  if (named !== undefined) {
    const [uid, gid] = [Number(named[2]), Number(named[3])]
    if (isServiceId(uid) && isServiceId(gid)) return { uid, gid }
    throw new BelladonnaError('start_failed', 'the user belladonna has no ids of an ordinary user')
  }
  const taken = [...users, ...readTable(groupFile)].find(
    (fields) => Number(fields[2]) === reservedBrokerId,
  )
  if (taken !== undefined) {
    throw new BelladonnaError(
      'start_failed',
      `id ${reservedBrokerId} belongs to ${JSON.stringify(taken[0])}: add a user belladonna with another`,
    )
  }
  return { uid: reservedBrokerId, gid: reservedBrokerId }
}

function isServiceId(id: number): boolean {
  return Number.isInteger(id) && id > 0 && id < 0xffff_fffe && id !== 65_534
}

function readTable(path: string): readonly (readonly string[])[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
}
