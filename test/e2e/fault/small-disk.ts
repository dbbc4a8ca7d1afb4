/**
 * A bridge whose state, log and receipts lie on a file system of 6 MiB, if nothing else is said. It mounts that itself, so full-disk.test.ts starts
 * such a program in a mount namespace of its own: nobody else sees the mount, and it goes with the process.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isCode } from '../../../src/host/directory.ts'
import { startBridge } from '../../support/bridge.ts'
import type { TestBridge } from '../../support/bridge.ts'

export type SmallDisk = AsyncDisposable &
  Readonly<{
    bridge: TestBridge
    /** To the brim: a page that is left is one that a log may still take. */
    fillUp: () => void
    /** Takes away what it was filled with. */
    clear: () => void
  }>

export async function startOnSmallDisk(policy: string, size = '6m'): Promise<SmallDisk> {
  const root = mkdtempSync('/tmp/belladonna.')
  chmodSync(root, 0o755)
  const lib = join(root, 'var/lib/belladonna')
  mkdirSync(lib, { recursive: true, mode: 0o755 })
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=755`, 'none', lib])
  const bridge = await startBridge({ policy, root })
  const ballasts = (): readonly string[] =>
    readdirSync(lib).filter((name) => name.startsWith('ballast'))
  return {
    bridge,
    fillUp: () => {
      for (;;) {
        const { bavail, bsize } = statfsSync(lib)
        if (bavail === 0) return
        const ballast = join(lib, `ballast${ballasts().length}`)
        try {
          writeFileSync(ballast, Buffer.alloc(bavail * bsize, 1))
        } catch (error) {
          if (!isCode(error, 'ENOSPC')) throw error // the bridge has taken some of it meanwhile
        }
      }
    },
    clear: () => {
      for (const name of ballasts()) rmSync(join(lib, name))
    },
    async [Symbol.asyncDispose]() {
      await bridge.stop()
      execFileSync('umount', [lib])
      await bridge[Symbol.asyncDispose]()
    },
  }
}
