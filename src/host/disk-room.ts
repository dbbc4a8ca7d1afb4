import { statfsSync } from 'node:fs'

/** What of a disk is kept for others: this much, or a sixteenth of a small one. */
const keptBytes = 64 * 1024 * 1024
const keptShare = 16
const lookEveryMs = 1_000

/**
 * Looks, once a second at most, whether little is left of the disk that a directory is on.
 *
 * Trusted: the kernel's word for that file system. Who else writes there can at most make it tight.
 */
export function openDiskRoom(directory: string, nowMs: () => number): () => boolean {
  let lookAtMs = -Infinity
  let tight = false
  return () => {
    if (nowMs() < lookAtMs) return tight
    lookAtMs = nowMs() + lookEveryMs
    const { bavail, blocks, bsize } = statfsSync(directory)
    tight = bavail * bsize < Math.min(keptBytes, (blocks * bsize) / keptShare)
    return tight
  }
}
