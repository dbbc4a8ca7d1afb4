import { formatCanonicalJson } from '../../core/json/canonical.ts'
import { anyString, integerWithin, mapOf } from '../../core/json/shape.ts'
import { parseStrictJson } from '../../core/json/strict.ts'
import { readOwnFile, replaceFile } from '../../host/durable-file.ts'

const fileName = 'used-grants.json'
const maxBytes = 16 * 1024 * 1024

/** How often each grant with `uses` has been used. Owned by the executor: nobody else counts or writes. */
export type UsedGrants = Readonly<{
  counts: ReadonlyMap<string, number>
  /** Counts a use from the decision on, so that requests at the same time cannot share the last one. */
  take: (grant: string) => void
  /** For a run that was given up before its receipt. */
  giveBack: (grant: string) => void
  /** Returns once all that was taken is on disk. */
  keep: () => void
}>

/**
 * Reads the counts of all policies so far: a grant's id is the digest of what it says, so it is used up for good.
 *
 * Trusted: the state directory is root's. A crash between `take` and the receipt can lose a use, never give one.
 */
export function openUsedGrants(stateDirectory: string, uid: number): UsedGrants {
  const bytes = readOwnFile(`${stateDirectory}/${fileName}`, uid, maxBytes)
  const counts = new Map(bytes === undefined ? [] : parseCounts(new TextDecoder().decode(bytes)))
  const add = (grant: string, change: number): void => {
    counts.set(grant, (counts.get(grant) ?? 0) + change)
  }
  return {
    counts,
    take: (grant) => add(grant, 1),
    giveBack: (grant) => add(grant, -1),
    keep: () => {
      const text = formatCanonicalJson(Object.fromEntries(counts))
      replaceFile(stateDirectory, fileName, new TextEncoder().encode(text), 0o644)
    },
  }
}

function parseCounts(text: string): readonly (readonly [string, number])[] {
  const count = integerWithin(0, Number.MAX_SAFE_INTEGER)
  const value = parseStrictJson(text, { maxBytes, maxMembers: maxBytes })
  return Object.entries(mapOf(anyString, count)(value, fileName))
}
