/**
 * Other people's test vectors, which are too large for this repository and stay outside of it.
 *
 * They lie in the folder that `BELLADONNA_DATA` names, or else in `../shared/data` beside the checkout. Where there is no
 * such folder a suite skips, and says how many cases it left out. Where there is one, a suite may not pass by reading
 * nothing: each call leaves a mark, and `tools/test-all.ts` fails when a name in a test file has none.
 */
import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'

/** The folder of all data, or undefined where this machine has none. */
export function dataRoot(): string | undefined {
  const named = process.env['BELLADONNA_DATA']
  const root = resolve(import.meta.dirname, '..', named ?? '../shared/data')
  if (existsSync(root)) return root
  if (named !== undefined)
    throw new Error(`BELLADONNA_DATA names ${JSON.stringify(root)}: not there`)
  return undefined
}

/**
 * Absolute path of one folder or file of the data, or undefined where this machine has no data at all.
 *
 * @param name relative to the data's root, as a literal: `tools/test-all.ts` looks for it in the sources
 * @throws {Error} if there is data but `name` is not in it, or is empty
 */
export function dataPath(name: string): string | undefined {
  const root = dataRoot()
  if (root === undefined) return undefined
  const path = join(root, name)
  if (isEmpty(path)) throw new Error(`data ${JSON.stringify(name)} is missing or empty`)
  const marks = process.env['BELLADONNA_DATA_MARKS']
  if (marks !== undefined) writeFileSync(join(marks, encodeURIComponent(name)), '')
  return path
}

/**
 * For use within a test: the path as by `dataPath`, or undefined after marking the test as skipped.
 *
 *     const path = skipWithoutData(t, 'wycheproof', 150)
 *     if (path === undefined) return
 *
 * @param count how many cases are left out, for the message
 */
export function skipWithoutData(t: TestContext, name: string, count: number): string | undefined {
  const path = dataPath(name)
  if (path === undefined) t.skip(`skipped: ${count}, no data`)
  return path
}

function isEmpty(path: string): boolean {
  const info = statSync(path, { throwIfNoEntry: false })
  if (info === undefined) return true
  return info.isDirectory() ? readdirSync(path).length === 0 : info.size === 0
}
