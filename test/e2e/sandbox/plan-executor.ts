/**
 * An executor that decides nothing: it starts, for each request, the command of the test in the plan of the test. Both are
 * in a file of the bridge's root, written by bare-bridge.ts.
 */
import {
  appendFileSync,
  linkSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { parseBase64 } from '../../../src/core/json/base64.ts'
import {
  formatExecutorReady,
  formatOpen,
  formatPrepare,
  parseSubmission,
} from '../../../src/core/protocol/launcher-frames.ts'
import { wireKind, wirePlanFlag } from '../../../src/core/protocol/layout.ts'
import type { GrantedPath } from '../../../src/core/policy/granted-path.ts'
import { formatCommand } from '../../../src/core/sandbox/command.ts'
import type { Bind, Command } from '../../../src/core/sandbox/command.ts'
import { formatPlan, parsePlan } from '../../../src/core/sandbox/plan.ts'
import { openChannel } from '../../../src/host/channel.ts'
import { openMeasure } from '../../../src/host/executable.ts'
import { uncopied } from '../../../src/host/executable-copy.ts'
import { openGrantedPaths } from '../../../src/host/granted-path.ts'
import { inherited } from '../../../src/host/inherited.ts'
import { isCleanPath, isGid, isUid } from '../../../src/core/identity.ts'
import type { CleanPath } from '../../../src/core/identity.ts'

/** The next command, and the plan that it gets: PLAN bytes in base64. `id` is uid and gid. */
export type Start = Readonly<{
  plan: string
  argv: readonly string[]
  env: readonly string[]
  cwd: string
  id: number
  /** The supplementary groups that it gets; without it none. */
  runGroups?: readonly number[]
  /** What the run alone sees of the host: a script that is hashed, and what parameters name. */
  script?: string
  paths?: readonly GrantedPath[]
  /** What somebody does once the executor has looked, and once the sandbox is built. */
  early?: readonly Deed[]
  late?: readonly Deed[]
  /** What runs as its proxy, in the same plan without a proxy: of a plan that needs one. */
  proxy?: readonly string[]
  /** How often it says OPEN, all in one write; without it once. */
  opens?: number
}>
/** `append` writes its first word into the file itself; `forge` over its start, and then puts its mtime back. */
export type Deed = readonly [
  how: 'rename' | 'link' | 'symlink' | 'append' | 'forge',
  from: string,
  to: string,
]

const measure = openMeasure(0, uncopied)
/** By then a sandbox is built and waits at its gate. */
const builtMs = 500
/** All capabilities: a spare keeps in its bounding set what is said here. */
const allCapabilities = (1n << 41n) - 1n

function main(root: string): void {
  const events = { batchEnd: () => undefined, closed: () => process.exit(0) }
  const launcher = openChannel(inherited.launcher, {
    ...events,
    frame: ({ kind, body }) => {
      if (kind === wireKind.hello) launcher.send(formatExecutorReady(allCapabilities))
      if (kind !== wireKind.submit) return
      const { run, subject } = parseSubmission(body.slice())
      const start: Start = JSON.parse(readFileSync(join(root, 'start.json'), 'utf8'))
      const { id } = start
      if (!isUid(id) || !isGid(id)) throw new Error(`id ${String(id)}`)
      const runAs = { uid: id, gid: id, groups: (start.runGroups ?? []).filter(isGid) }
      const opened = openGrantedPaths(() => null, start.paths ?? [], { runAs, subject })
      if (opened.kind === 'refused') throw new Error(opened.detail)
      const plan = parseBase64(start.plan)
      const binds = [...scriptBinds(start.script), ...opened.binds]
      const command = commandOf(start, start.argv, { ...runAs, binds })
      const proxy =
        start.proxy === undefined
          ? null
          : { plan: unproxied(plan), command: commandOf(start, start.proxy, { ...runAs, binds }) }
      for (const deed of start.early ?? []) act(deed)
      launcher.send(formatPrepare(run, plan, command, { proxy }))
      const opens = Array.from({ length: start.opens ?? 1 }, () =>
        formatOpen(run, new Uint8Array(2)),
      )
      const open = (): void => launcher.send(Buffer.concat(opens))
      if (start.late === undefined) open()
      else setTimeout(actThen, builtMs, start.late, open)
    },
  })
  openChannel(inherited.peer, { ...events, frame: () => undefined })
  process.on('SIGTERM', () => process.exit(0))
}

function commandOf(
  { cwd, env }: Start,
  argv: readonly string[],
  rest: Pick<Command, 'uid' | 'gid' | 'groups' | 'binds'>,
): Uint8Array {
  const executable = clean(argv[0] ?? '')
  const { stamp } = measure({ executable, interpreter: null, sha256: [] })
  return formatCommand({ ...rest, executable, cwd: clean(cwd), stamp, argv, env })
}

/** Its proxy has none of its own. */
function unproxied(bytes: Uint8Array): Uint8Array {
  const plan = parsePlan(bytes)
  return formatPlan({ ...plan, flags: plan.flags & ~wirePlanFlag.proxied })
}

function scriptBinds(script: string | undefined): readonly Bind[] {
  if (script === undefined) return []
  const path = clean(script)
  const interpreter = { path: clean('/bin/sh'), argument: null, executable: clean('/usr/bin/dash') }
  const { stamp } = measure({ executable: path, interpreter, sha256: [] })
  const rights = { writable: false, executable: false, access: 0n }
  return [{ source: path, target: path, stamp, ...rights, isLive: false, isSingle: false }]
}

function actThen(deeds: readonly Deed[], next: () => void): void {
  for (const deed of deeds) act(deed)
  next()
}

function act([how, from, to]: Deed): void {
  const append = (text: string, path: string): void => appendFileSync(path, text)
  const ways = { rename: renameSync, link: linkSync, symlink: symlinkSync, append, forge }
  ways[how](from, to)
}

function forge(text: string, path: string): void {
  const { atime, mtime } = statSync(path)
  writeFileSync(path, text, { flag: 'r+' })
  utimesSync(path, atime, mtime)
}

function clean(path: string): CleanPath {
  if (!isCleanPath(path)) throw new Error(path)
  return path
}

if (import.meta.main) main(process.argv[2] ?? '')
