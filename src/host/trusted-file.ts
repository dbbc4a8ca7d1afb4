import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { quote } from '../core/toml/problem.ts'

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY

/**
 * Reads a text that root wrote: opened without following a link, then checked on that descriptor, so that what was
 * checked is what is read. It must be a regular file of root or of `uid` that nobody else can write.
 *
 * @param uid the caller's own; null reads anybody's file, for checks that change nothing
 * @param shownAs its name in messages, where `path` goes through a descriptor
 * @throws {BelladonnaError} `policy_unreadable`
 */
export function readTrustedFile(
  path: string,
  uid: number | null,
  maxBytes: number,
  shownAs: string = path,
): string {
  let descriptor: number
  try {
    descriptor = openSync(path, flags)
  } catch (cause) {
    throw new BelladonnaError('policy_unreadable', `open ${quote(shownAs)}`, { cause })
  }
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) throw unreadable(shownAs, 'not a regular file')
    if (stat.size > maxBytes) throw unreadable(shownAs, `larger than ${maxBytes} bytes`)
    if (uid !== null && stat.uid !== 0 && stat.uid !== uid) {
      throw unreadable(shownAs, `belongs to uid ${stat.uid}`)
    }
    if (uid !== null && (stat.mode & 0o022) !== 0) {
      throw unreadable(shownAs, 'writable by group or others')
    }
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(
      readFileSync(descriptor),
    )
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    throw new BelladonnaError('policy_unreadable', `${quote(shownAs)}: not UTF-8`, { cause })
  } finally {
    closeSync(descriptor)
  }
}

function unreadable(path: string, what: string): BelladonnaError {
  return new BelladonnaError('policy_unreadable', `${quote(path)}: ${what}`)
}
