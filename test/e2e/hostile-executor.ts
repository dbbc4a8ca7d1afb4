/**
 * An executor that obeys nobody: makes the attack of its turn on the launcher, with plans and commands that are good. Started
 * by launcher-musts.test.ts; the turn and what its command touches are in a file, and `attacks` is what that test counts.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseBase64 } from '../../src/core/json/base64.ts'
import { parseCompiledPolicy } from '../../src/core/policy/compiled-parse.ts'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { formatRead } from '../../src/core/protocol/input-frames.ts'
import {
  formatExecutorReady,
  formatKept,
  formatOpen,
  formatPrepare,
  parseSubmission,
} from '../../src/core/protocol/launcher-frames.ts'
import { wireKind, wireLayout, wirePlanFlag } from '../../src/core/protocol/layout.ts'
import { formatCommand } from '../../src/core/sandbox/command.ts'
import { openChannel } from '../../src/host/channel.ts'
import { openMeasure } from '../../src/host/executable.ts'
import { uncopied } from '../../src/host/executable-copy.ts'
import { inherited } from '../../src/host/inherited.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { loadInstalledPolicy } from '../../src/host/policy-store.ts'

/** What the launcher must do: end both services, run nothing and wait, or run the command. */
type Answer = 'ends both' | 'waits' | 'runs'
type Attack = Readonly<{
  name: string
  answer: Answer
  frames: (run: number, prepare: (run: number) => Uint8Array) => readonly Uint8Array[]
}>

const ticket = new Uint8Array(2)
const open = (run: number): Uint8Array => formatOpen(run, ticket)
const mayPrepareOrOpen: readonly number[] = [wireKind.prepare, wireKind.open]

/** A frame that is whole, with four bytes of its head or body changed. */
function changed(frame: Uint8Array, at: number, value: number): Uint8Array {
  const copy = frame.slice()
  new DataView(copy.buffer).setUint32(at, value, true)
  return copy
}

/** Its plan says that it needs a proxy. */
function proxied(frame: Uint8Array): Uint8Array {
  const at = 8 + wireLayout.prepare.size + wireLayout.plan.offsets.flags
  const flags = new DataView(frame.buffer, frame.byteOffset).getUint32(at, true)
  return changed(frame, at, flags | wirePlanFlag.proxied)
}

/** A PREPARE with the body of another one behind it. */
function around(frame: Uint8Array, proxy: Uint8Array): Uint8Array {
  const body = proxy.slice(8)
  const outer = changed(frame, 8 + wireLayout.prepare.offsets.proxySize, body.length)
  return formatFrame(wireKind.prepare, outer.slice(8), body)
}

export const attacks: readonly Attack[] = [
  { name: 'PREPARE and nothing more', answer: 'waits', frames: (run, prepare) => [prepare(run)] },
  { name: 'nothing', answer: 'waits', frames: () => [] },
  { name: 'OPEN without PREPARE', answer: 'ends both', frames: (run) => [open(run)] },
  {
    name: 'PREPARE twice',
    answer: 'ends both',
    frames: (run, prepare) => [prepare(run), prepare(run)],
  },
  {
    name: 'PREPARE for a request that is not there yet',
    answer: 'ends both',
    frames: (run, prepare) => [prepare(run + 1)],
  },
  {
    name: 'OPEN for a request that is not there yet',
    answer: 'ends both',
    frames: (run, prepare) => [prepare(run), open(run + 1)],
  },
  {
    name: 'PREPARE with a byte too many',
    answer: 'ends both',
    frames: (run, prepare) => [
      formatFrame(wireKind.prepare, prepare(run).slice(8), new Uint8Array(1)),
    ],
  },
  {
    name: 'PREPARE whose plan is longer than the frame',
    answer: 'ends both',
    frames: (run, prepare) => [changed(prepare(run), 16, 0x7fff_ffff)],
  },
  {
    name: 'PREPARE with a plan of another version',
    answer: 'ends both',
    frames: (run, prepare) => [changed(prepare(run), 32, 99)],
  },
  {
    name: 'OPEN with a ticket of 257 bytes',
    answer: 'ends both',
    frames: (run, prepare) => [prepare(run), formatOpen(run, new Uint8Array(257))],
  },
  {
    name: 'a frame that is too large',
    answer: 'ends both',
    frames: (run, prepare) => [changed(prepare(run), 0, 0x0010_0000)],
  },
  {
    name: 'a frame with something in the field that is zero',
    answer: 'ends both',
    frames: (run, prepare) => [changed(prepare(run), 4, 0x0001_0302)],
  },
  {
    name: 'PREPARE with an input that nobody passed',
    answer: 'ends both',
    frames: (run, prepare) => [changed(prepare(run), 24, 1)],
  },
  {
    name: 'PREPARE of a plan that needs a proxy, without one',
    answer: 'ends both',
    frames: (run, prepare) => [proxied(prepare(run)), open(run)],
  },
  {
    name: 'PREPARE with a proxy that its plan does not need',
    answer: 'ends both',
    frames: (run, prepare) => [around(prepare(run), prepare(run)), open(run)],
  },
  {
    name: 'PREPARE with a proxy that has a proxy',
    answer: 'ends both',
    frames: (run, prepare) => [
      around(proxied(prepare(run)), around(proxied(prepare(run)), prepare(run))),
      open(run),
    ],
  },
  {
    name: 'PREPARE with a proxy that has an input',
    answer: 'ends both',
    frames: (run, prepare) => [
      around(proxied(prepare(run)), changed(prepare(run), 24, 1)),
      open(run),
    ],
  },
  {
    name: 'PREPARE with a proxy and nothing more',
    answer: 'waits',
    frames: (run, prepare) => [around(proxied(prepare(run)), prepare(run))],
  },
  {
    name: 'READ of a stdin that can still change',
    answer: 'ends both',
    frames: (run, prepare) => [formatRead(run, 0, 0), prepare(run), open(run)],
  },
  {
    name: 'READ of an input that nobody passed',
    answer: 'ends both',
    frames: (run, prepare) => [formatRead(run, 3, 0), prepare(run), open(run)],
  },
  {
    name: 'READ of a descriptor that there can never be',
    answer: 'ends both',
    frames: (run, prepare) => [formatRead(run, 0xffff_ffff, 0), prepare(run), open(run)],
  },
  {
    name: 'READ for a request that is not there yet',
    answer: 'ends both',
    frames: (run, prepare) => [formatRead(run + 1, 0, 0), prepare(run), open(run)],
  },
  {
    name: 'READ after PREPARE',
    answer: 'ends both',
    frames: (run, prepare) => [prepare(run), formatRead(run, 0, 0), open(run)],
  },
  ...Object.entries(wireKind)
    .filter(([, kind]) => !mayPrepareOrOpen.includes(kind))
    .map(([name, kind]): Attack => ({
      name: `${name}, which is not its to send now`,
      answer: 'ends both',
      frames: (run, prepare) => [formatFrame(kind, prepare(run).slice(8)), open(run)],
    })),
  {
    name: 'KEPT between PREPARE and OPEN',
    answer: 'runs',
    frames: (run, prepare) => [prepare(run), formatKept(1n), open(run)],
  },
  // Last: the attacks above can succeed, if the launcher lets them.
  { name: 'PREPARE and OPEN', answer: 'runs', frames: (run, prepare) => [prepare(run), open(run)] },
]

function main(root: string): void {
  const [turn, evidence = ''] = readFileSync(join(root, 'turn'), 'utf8').split(' ')
  const attack = attacks[Number(turn)]
  const { actions, profiles } = parseCompiledPolicy(
    loadInstalledPolicy(bridgePaths(root).policy).text,
  )
  const [action] = actions
  const plan = parseBase64(profiles.find(({ name }) => name === action?.profile)?.plan ?? '')
  if (action === undefined) throw new Error('no action')
  const { executable, run_as: runAs, cwd } = action
  const { stamp } = openMeasure(0, uncopied)(action)
  const argv = [executable, evidence]
  const command = formatCommand({ ...runAs, executable, cwd, stamp, argv, env: [], binds: [] })
  const events = { batchEnd: () => undefined, closed: () => process.exit(0) }
  const launcher = openChannel(inherited.launcher, {
    ...events,
    frame: ({ kind, body }) => {
      if (kind === wireKind.hello) launcher.send(formatExecutorReady(0n))
      if (kind !== wireKind.submit) return
      const { run } = parseSubmission(body.slice())
      for (const frame of attack?.frames(run, (of) => formatPrepare(of, plan, command)) ?? [])
        launcher.send(frame)
    },
  })
  openChannel(inherited.peer, { ...events, frame: () => undefined })
  process.on('SIGTERM', () => process.exit(0))
}

if (import.meta.main) main(process.argv[2] ?? '')
