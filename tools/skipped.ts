/**
 * Which tests may be skipped. One that was has proved nothing, and in the runner's summary it looks like one that passed. So each says
 * why in words that are here, and whether this machine lacks that is asked here once more, not of the test: as root nothing may be
 * skipped that this machine could run. Whoever is not root may leave out what needs root. What is left out is listed at the end.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { closeSync, existsSync, openSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { dataRoot } from '../test/data.ts'
import { ownCgroups } from '../src/host/cgroup.ts'

/** `skipped`: why, or null if it ran. A test that gives no reason needs root. */
export type TestLine = Readonly<{ name: string; skipped: string | null }>

/** `NAME`, and if it was skipped a tab and why. */
export function formatTestLine({ name, skipped }: TestLine): string {
  const words = [name, ...(skipped === null ? [] : [skipped])]
  return `${words.map((word) => word.replaceAll(/[\t\n]/g, ' ')).join('\t')}\n`
}

export function parseTestLines(text: string): readonly TestLine[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = '', skipped = null] = line.split('\t')
      return { name, skipped }
    })
}

const isRoot = process.geteuid?.() === 0
const needsRoot = 'needs root'

/** The words of a skip, and whether this machine lacks what they are about. */
const reasons: readonly (readonly [words: RegExp, isLacking: (what: string) => boolean])[] = [
  [/^needs root$/, () => !isRoot],
  [/^skipped: \d+, no data$/, () => dataRoot() === undefined],
  [/^no (\/[a-z/]+)$/, (path) => !existsSync(path)],
  [/^no Landlock of version (\d)$/, (version) => landlockVersion() < Number(version)],
  [/^no cgroup v2$/, () => ownCgroups().unified === ''],
  [/^no cgroup v1 beside v2$/, () => !hasBothCgroups()],
  [/^no right to mount$/, () => !canMount()],
  [/^no right to set (\/[a-z_/]+)$/, (path) => !canOpen(path, 'r+')],
  [/^this host has no (\/\S+)$/, (path) => !canOpen(path, 'r') || isNoDevice(path)],
  [/this host has no \/dev\/fuse/, () => !canOpen('/dev/fuse', 'r+')],
  [/this host gives \d+ no user namespace/, () => !canMakeUserNamespace()],
  // Only npm knows what its cache holds, and it has just said so.
  [/^npm has no cache of these packages/, () => true],
]

/** Whether this machine lacks what a test was skipped for; undefined: nobody here knows such words. */
export function machineLacks(reason: string): boolean | undefined {
  for (const [words, isLacking] of reasons) {
    const match = words.exec(reason)
    if (match !== null) return isLacking(match[1] ?? '')
  }
  return undefined
}

/** @returns a problem for each test that was skipped and need not have been, and for each reason that is not known */
export function checkSkips(
  tests: readonly TestLine[],
  lacks: (reason: string) => boolean | undefined,
): readonly string[] {
  return [...byReason(tests)].flatMap(([reason, names]) => {
    const isLacking = lacks(reason)
    if (isLacking === true) return []
    const why =
      isLacking === false ? 'this machine could run it' : 'tools/skipped.ts has no such reason'
    return names.map((name) => `skipped (${reason}), but ${why}: ${name}`)
  })
}

/** What was left out, a line for each reason. */
export function listSkips(tests: readonly TestLine[]): readonly string[] {
  return [...byReason(tests)].map(
    ([reason, names]) => `SKIPPED  ${names.length} tests: ${reason}: ${names[0] ?? ''}, …`,
  )
}

/** Names of tests that count as there: those that ran; for who is not root also those that need root. */
export function namesThatCount(tests: readonly TestLine[], asRoot: boolean = isRoot): string {
  return tests
    .filter(({ skipped }) => skipped === null || (!asRoot && reasonOf(skipped) === needsRoot))
    .map(({ name }) => name)
    .join('\n')
}

function reasonOf(skipped: string): string {
  return skipped === '' ? needsRoot : skipped
}

function byReason(tests: readonly TestLine[]): ReadonlyMap<string, readonly string[]> {
  const skips = new Map<string, string[]>()
  for (const { name, skipped } of tests) {
    if (skipped === null) continue
    const reason = reasonOf(skipped)
    skips.set(reason, [...(skips.get(reason) ?? []), name])
  }
  return skips
}

// ---- what this machine has ----

/** By Perl, which every Debian has: our own C is what the tests are about. */
function landlockVersion(): number {
  const createRuleset = 444
  const text = execFileSync('perl', ['-e', `print syscall(${createRuleset}, 0, 0, 1)`], {
    encoding: 'utf8',
  })
  return Number(text)
}

function hasBothCgroups(): boolean {
  const { pids, unified } = ownCgroups()
  const trees = ['pids', 'memory', 'unified'].map((name) => join('/sys/fs/cgroup', name))
  return pids !== '' && !pids.startsWith(unified) && trees.every((tree) => existsSync(tree))
}

function canMount(): boolean {
  const mount = ['-m', 'mount', '-t', 'tmpfs', 'none', '/tmp']
  return isRoot && spawnSync('unshare', mount).status === 0
}

function canMakeUserNamespace(): boolean {
  const words = ['--reuid=61290', '--clear-groups', 'unshare', '--user', 'true']
  return isRoot && spawnSync('setpriv', words).status === 0
}

function canOpen(path: string, flags: 'r' | 'r+'): boolean {
  try {
    closeSync(openSync(path, flags))
    return true
  } catch {
    return false
  }
}

/** What stands in for a block device where there is none. */
function isNoDevice(path: string): boolean {
  if (path !== '/dev/none') return false
  return !readdirSync('/dev').some((name) =>
    statSync(join('/dev', name), { throwIfNoEntry: false })?.isBlockDevice(),
  )
}
