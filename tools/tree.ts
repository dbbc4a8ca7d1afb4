/** What the checks of this folder read: the files that are, or would be, committed. */
import { execFileSync } from 'node:child_process'
import { lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Text of each file by its path from the root, with slashes. Links and binary files are left out. */
export type Tree = ReadonlyMap<string, string>

export const root: string = join(import.meta.dirname, '..')

export function readTree(): Tree {
  const tree = new Map<string, string>()
  for (const path of listFiles()) {
    const info = lstatSync(join(root, path), { throwIfNoEntry: false })
    if (info?.isFile() !== true) continue
    const text = readFileSync(join(root, path), 'utf8')
    if (!text.includes('\0')) tree.set(path, text)
  }
  return tree
}

/** Git refuses a checkout that another user owns, which is no matter here: nothing of it is run. */
function listFiles(): readonly string[] {
  const args = ['-c', 'safe.directory=*', 'ls-files', '-z', '-co', '--exclude-standard']
  const output = execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 26 })
  return output.split('\0').filter((path) => path !== '')
}

/** True for what only tests load: tests, their tables and their stand-ins. */
export function isTestFile(path: string): boolean {
  return path.startsWith('test/') || /\.test(-[a-z]+)*\.ts$/.test(path)
}

/** Ends a check: one line for each problem, and an exit status that says whether there was one. */
export function report(check: string, problems: readonly string[]): void {
  for (const problem of problems) console.error(`${check}: ${problem}`)
  if (problems.length > 0) process.exitCode = 1
}
