/** A launcher as it is beside one without some of its checks, each in a bridge whose executor permits whatever is asked. */
import assert from 'node:assert/strict'
import { chmodSync, rmSync } from 'node:fs'
import { after, before } from 'node:test'
import { startBare } from './bare-bridge.ts'
import type { BareBridge } from './bare-bridge.ts'
import { openLauncherBuild } from './programs.ts'
import type { Edit } from './programs.ts'

/** The bridges, and whether the checks are there. */
export type Both = () => readonly (readonly [bare: BareBridge, isChecked: boolean])[]

/**
 * Starts both before the tests of a file, and ends them after those.
 *
 * @param directory is built in, and removed
 * @param without takes the checks away
 * @param faults are in both, for checks that matter only then
 */
export function openTwoLaunchers(
  directory: string,
  policy: string,
  without: readonly Edit[],
  faults: readonly Edit[] = [],
): Both {
  const bridges: BareBridge[] = []
  before(async () => {
    if (process.geteuid?.() !== 0) return
    chmodSync(directory, 0o755)
    const build = openLauncherBuild(directory)
    for (const edits of [faults, [...faults, ...without]]) {
      const launcher = edits.length === 0 ? null : build(edits)
      bridges.push(await startBare(policy, (ours, bootFile) => [launcher ?? ours, bootFile]))
    }
  })
  after(async () => {
    for (const bare of bridges) await bare[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  })
  return () => {
    const [checked, unchecked] = bridges
    assert.ok(checked !== undefined && unchecked !== undefined)
    return [
      [checked, true],
      [unchecked, false],
    ]
  }
}
