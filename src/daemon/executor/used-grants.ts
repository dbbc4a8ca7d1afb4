import {
  hasRoomForUsedGrants,
  keepUsedGrants,
  openUsedGrantsFile,
} from '../../host/used-grants-file.ts'

/** How often each grant with `uses` has been used. Owned by the executor: nobody else counts or writes. */
export type UsedGrants = Readonly<{
  counts: ReadonlyMap<string, number>
  /** Counts a use from the decision on, so that requests at the same time cannot share the last one. */
  take: (grant: string) => void
  /** For a run that was given up before its receipt. */
  giveBack: (grant: string) => void
  /** Whether what is taken can be kept: a full disk refuses, and ends nothing. */
  hasRoom: () => boolean
  /** Returns once all that was taken is on disk. */
  keep: () => void
}>

/**
 * Reads the counts of all policies so far: a grant's id is the digest of what it says, so it is used up for good.
 *
 * A crash between `take` and the receipt can lose a use, never give one.
 */
export function openUsedGrants(
  stateDirectory: string,
  uid: number,
  hasReceipts: boolean,
): UsedGrants {
  const counts = openUsedGrantsFile(stateDirectory, uid, hasReceipts)
  const add = (grant: string, change: number): void => {
    counts.set(grant, (counts.get(grant) ?? 0) + change)
  }
  return {
    counts,
    take: (grant) => add(grant, 1),
    giveBack: (grant) => add(grant, -1),
    hasRoom: () => hasRoomForUsedGrants(stateDirectory, counts),
    keep: () => keepUsedGrants(stateDirectory, counts),
  }
}
