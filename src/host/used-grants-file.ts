import { statfsSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { formatCanonicalJson } from '../core/json/canonical.ts'
import { anyString, integerWithin, mapOf } from '../core/json/shape.ts'
import { parseStrictJson } from '../core/json/strict.ts'
import { readOwnFile, replaceFile } from './durable-file.ts'

const fileName = 'used-grants.json'
const maxBytes = 16 * 1024 * 1024
/** What must be free before a use is promised: the file is written anew with each. */
const roomBytes = 256 * 1024
const bytesPerCount = 64

/**
 * How often each grant with `uses` has been used, by its id; who is not in it, never.
 *
 * Trusted: the state directory is root's, and the executor alone writes the file.
 *
 * @throws {BelladonnaError} `path_unsafe`, `input_invalid`
 */
export function readUsedGrants(stateDirectory: string, uid: number): Map<string, number> {
  return readCounts(stateDirectory, uid) ?? new Map<string, number>()
}

/**
 * The same for who counts. The file is made before the first receipt: where there are some and no file, somebody took it away,
 * and every grant would have its uses again.
 *
 * @throws {BelladonnaError} also `state_invalid`
 */
export function openUsedGrantsFile(
  stateDirectory: string,
  uid: number,
  hasReceipts: boolean,
): Map<string, number> {
  const counts = readCounts(stateDirectory, uid)
  if (counts !== undefined) return counts
  if (hasReceipts) {
    const why = `there are receipts and no ${stateDirectory}/${fileName}: put it back from a backup`
    throw new BelladonnaError('state_invalid', `read the uses of grants: ${why}`)
  }
  const none = new Map<string, number>()
  keepUsedGrants(stateDirectory, none)
  return none
}

function readCounts(stateDirectory: string, uid: number): Map<string, number> | undefined {
  const bytes = readOwnFile(`${stateDirectory}/${fileName}`, uid, maxBytes)
  return bytes === undefined ? undefined : new Map(parseCounts(new TextDecoder().decode(bytes)))
}

/** Returns once the counts are on disk. */
export function keepUsedGrants(stateDirectory: string, counts: ReadonlyMap<string, number>): void {
  const text = formatCanonicalJson(Object.fromEntries(counts))
  replaceFile(stateDirectory, fileName, new TextEncoder().encode(text), 0o644)
}

/** Whether the disk has room for the file; asked before a use is promised, since afterwards the run cannot be refused. */
export function hasRoomForUsedGrants(
  stateDirectory: string,
  counts: ReadonlyMap<string, number>,
): boolean {
  const { bavail, bsize } = statfsSync(stateDirectory)
  return bavail * bsize >= roomBytes + bytesPerCount * counts.size
}

function parseCounts(text: string): readonly (readonly [string, number])[] {
  const count = integerWithin(0, Number.MAX_SAFE_INTEGER)
  const value = parseStrictJson(text, { maxBytes, maxMembers: maxBytes })
  return Object.entries(mapOf(anyString, count)(value, fileName))
}
