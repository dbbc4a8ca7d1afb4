import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { getSystemErrorMap } from 'node:util'
import { BelladonnaError } from '../core/error.ts'
import { quote } from '../core/toml/problem.ts'
import { isCode } from './directory.ts'

const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY

/** A text, or why it cannot be read or believed; `cause` where it could not be opened. */
export type TrustedText =
  | Readonly<{ kind: 'text'; text: string }>
  | Readonly<{ kind: 'fault'; what: string; cause?: unknown }>

/**
 * Reads a text that root wrote: opened without following a link, then checked on that descriptor, so that what was
 * checked is what is read. It must be a regular file of root or of `uid` that nobody else can write.
 *
 * @param uid the caller's own; null reads anybody's file, for checks that change nothing
 */
export function readTrustedText(path: string, uid: number | null, maxBytes: number): TrustedText {
  let descriptor: number
  try {
    descriptor = openSync(path, flags)
  } catch (cause) {
    return { kind: 'fault', what: whyNot(cause), cause }
  }
  try {
    const stat = fstatSync(descriptor)
    if (!stat.isFile()) return fault('not a regular file')
    if (stat.size > maxBytes) return fault(`larger than ${maxBytes} bytes`)
    if (uid !== null && stat.uid !== 0 && stat.uid !== uid) {
      return fault(`belongs to uid ${stat.uid}`)
    }
    if (uid !== null && (stat.mode & 0o022) !== 0) return fault('writable by group or others')
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    return { kind: 'text', text: decoder.decode(readFileSync(descriptor)) }
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause
    return fault('not UTF-8')
  } finally {
    closeSync(descriptor)
  }
}

/**
 * The same for callers that have no list of problems.
 *
 * @param shownAs its name in messages, where `path` goes through a descriptor
 * @throws {BelladonnaError} `policy_unreadable`
 */
export function readTrustedFile(
  path: string,
  uid: number | null,
  maxBytes: number,
  shownAs: string = path,
): string {
  const reading = readTrustedText(path, uid, maxBytes)
  if (reading.kind === 'text') return reading.text
  const { what, cause } = reading
  const name = quote(shownAs)
  throw cause === undefined
    ? new BelladonnaError('policy_unreadable', `${name}: ${what}`)
    : new BelladonnaError('policy_unreadable', `open ${name}`, { cause })
}

function fault(what: string): TrustedText {
  return { kind: 'fault', what }
}

/** Why something cannot be opened, in the system's words without its path, which may go through a descriptor. */
export function whyNot(error: unknown): string {
  if (isCode(error, 'ELOOP')) return 'a link'
  const number = error instanceof Error && 'errno' in error ? Number(error.errno) : 0
  return getSystemErrorMap().get(number)?.[1] ?? 'cannot be opened'
}
