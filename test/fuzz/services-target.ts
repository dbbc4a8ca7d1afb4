/**
 * Broker and executor between sockets whose order the input chooses, and with a peer that lies. The input is a script:
 *
 *   ask run 1000     a client's request            read 3 2         the third link's reader reads two frames
 *   stdin 9000       one with a bound stdin        end 1            the command of a run ends
 *   reload           SIGHUP                        install 1        another policy is installed
 *   program 2        the executable is replaced    time 500         the clock goes on
 *   broker KIND RUN [TEXT]     the executor hears this frame, which the broker never sent
 *   executor KIND RUN [TEXT]   the broker hears one that the executor never sent
 *   hex SIDE KIND BYTES        any bytes as a body
 *
 * While nobody lies, everybody is answered, log and receipts verify, and what `status` counts is what they say. A lie ends
 * the two, by `frame_invalid`, or changes nothing of this: nothing starts without its receipt, nothing for who has no grant,
 * and no grant is used more often than it may.
 */
import assert from 'node:assert/strict'
import { BelladonnaError } from '../../src/core/error.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { parseHex } from '../../src/core/json/hex.ts'
import * as peer from '../../src/core/protocol/peer-frames.ts'
import { formatAdopt, formatLoaded } from '../../src/core/protocol/reload-frames.ts'
import { noInputs } from '../../src/core/protocol/input-frames.ts'
import { links, openTestBridge, usable } from '../../src/daemon/bridge.test-support.ts'
import type { TestBridge } from '../../src/daemon/bridge.test-support.ts'
import { actionText } from '../support/action-text.ts'
import { cutFrames } from '../../src/core/protocol/frame.ts'
import type { Frame } from '../../src/core/protocol/frame.ts'
import type { Target } from './target.ts'

const maxSteps = 60
const uses = 3
const policyText = (about: string): string => `schema = 1
[profile.p]
[profile.bound]
stdin = "bound"
${actionText('run', 'p', ['/usr/bin/true', about])}
${actionText('few', 'p', ['/usr/bin/true'])}
${actionText('read', 'bound', ['/usr/bin/true'])}
[[grant]]
who = ["uid:1000"]
may = ["run", "read"]
[[grant]]
who = ["uid:1000", "uid:1001"]
may = ["few"]
uses = ${uses}
`
const policies = [usable(policyText('a')), usable(policyText('b'))] as const
const actions = ['run', 'few', 'read', 'none'] as const

export function servicesTarget(): Target {
  const kinds = Object.keys(formats)
  const side = kinds.flatMap((kind) => [`broker ${kind} 1`, `executor ${kind} 1`])
  const round = links.map((_, at) => `read ${at} 9`).join('\n')
  return {
    seeds: [
      `ask run 1000\n${round}\n${round}\nend 1`,
      `ask run 1000\n${round}\n${round}\nask run 1000\nread 0 1\nread 1 1\nread 3 1\nread 2 1\nend 2`,
      `ask few 1001\nask few 1000\nask few 1000\nask few 1000\n${round}\n${round}`,
      `ask few 1000\nask few 1000\n${round}\n${round}\nend 1\nend 2\n${round}\nask few 1001\nask few 1000`,
      `stdin 9\n${round}\n${round}\n${round}\nstdin 300000\n${round}\nreload\n${round}`,
      `ask run 1000\n${round}\n${round}\nprogram 2\nask run 1000\n${round}\n${round}\n${round}`,
      `ask run 1000\ninstall 1\nreload\n${round}\nask run 1000\n${round}\n${round}\ninstall 2\nreload`,
      ...side.map((line) => `ask run 1000\nread 0 1\nread 1 1\n${line}\n${round}`),
      ...side.map((line) => `ask few 1000\n${round}\n${line}\nread 3 1\n${line}\n${round}`),
      `ask run 1001\nread 1 1\nbroker intend 1\nbroker recorded 1`,
      `broker intend 1 0\nbroker recorded 1 4\nask run 1000\n${round}`,
    ],
    words: [
      ...['\n', 'ask ', 'read ', 'end ', 'reload\n', 'install ', 'program ', 'time ', 'stdin '],
      ...['run ', 'few ', 'none ', '1000', '1001', '1002', ...kinds.map((kind) => `${kind} `)],
      ...['broker ', 'executor ', 'hex broker ', 'hex executor ', '1', '2', '3', '0', '9'],
      ...['read 1 1\n', 'read 2 1\n', 'read 3 1\n', 'read 4 1\n', 'read 5 1\n'],
    ],
    run: (input) => {
      runScript(input.split('\n').slice(0, maxSteps))
    },
  }
}

type Session = Readonly<{ bridge: TestBridge; uids: number[] }>

function runScript(lines: readonly string[]): void {
  const bridge = openTestBridge(policies[0], 1000, { areLies: lines.some(isLie) })
  const session: Session = { bridge, uids: [] }
  for (const line of lines) {
    try {
      step(session, line.split(' '))
    } catch (error) {
      if (!isAnEnd(error) || !lines.some(isLie)) throw error
      checkStarted(session) // both services end, and all runs with them
      return
    }
    checkStarted(session)
  }
  if (lines.some(isLie)) return
  bridge.settle()
  bridge.assertSettled()
  checkStarted(session)
}

const isLie = (line: string): boolean => /^(?:broker|executor|hex) /.test(line)

function isAnEnd(error: unknown): boolean {
  return error instanceof BelladonnaError && ['frame_invalid', 'log_failed'].includes(error.code)
}

/** What holds at any time, whoever lies. */
function checkStarted({ bridge, uids }: Session): void {
  const started = uids.flatMap((_, at) => {
    const run = bridge.startedOf(at + 1)
    return run?.hasStarted === true ? [run.asked] : []
  })
  assert.ok(started.length <= bridge.receipts().length, 'started without a receipt')
  for (const { action, uid } of started) {
    assert.ok(action === 'few' ? uid !== 1002 : uid === 1000, `${action} of uid ${uid}`)
  }
  assert.ok(started.filter(({ action }) => action === 'few').length <= uses, 'more than its uses')
  for (const [grant, count] of bridge.uses) assert.ok(count <= uses && count >= 0, grant)
}

function step(session: Session, words: readonly string[]): void {
  const { bridge } = session
  const [word = '', first = '', second = '', ...rest] = words
  const number = Math.min(1_000_000, Math.abs(Math.trunc(Number(first)) || 0))
  if (word === 'ask') ask(session, first, Number(second))
  if (word === 'stdin') ask(session, 'read', 1000, new Uint8Array(number))
  if (word === 'read') {
    const link = links[number % links.length]
    if (link !== undefined) bridge.read(link, Math.min(100, Math.abs(Number(second)) || 0))
  }
  if (word === 'end' && session.uids[number - 1] !== undefined) bridge.end(number)
  if (word === 'reload') bridge.reload()
  if (word === 'install') {
    bridge.world.installed = policies[number] ?? { kind: 'unusable', why: 'it is broken' }
  }
  if (word === 'program') bridge.world.programs.set('/usr/bin/true', number % 256)
  if (word === 'time') bridge.world.nowMs += number
  if (word === 'broker' || word === 'executor') lie(session, word, first, Number(second), rest)
  if (word === 'hex') tell(session, first, Number(second), parseBytes(rest.join('')))
}

function ask({ bridge, uids }: Session, name: string, uid: number, stdin?: Uint8Array): void {
  const action = actions.find((known) => known === name) ?? 'none'
  const known = [1000, 1001, 1002].find((one) => one === uid) ?? 1002
  if (uids.length >= 20) return
  bridge.ask(stdin === undefined ? { action, uid: known } : { action, uid: known, stdin })
  uids.push(known)
}

const filled = (value: number): Uint8Array => new Uint8Array(32).fill(value)

/** Frames that a liar sends. The digest of an action it may know: it can compute it. */
const formats: Readonly<
  Record<string, (run: number, text: string, digest: Uint8Array) => Uint8Array>
> = {
  intend: (run, text, digest) =>
    peer.formatIntent({ run, actionDigest: text === '' ? digest : filled(Number(text)) }),
  recorded: (run, text) => peer.formatRecorded({ run, entry: Number(text) || 0 }),
  dropped: (run) => peer.formatDropped(run),
  adopt: (run) => formatAdopt(parseHex(policies[run % 2 === 0 ? 0 : 1].digest)),
  loaded: (run, text) =>
    formatLoaded(
      text === ''
        ? { kind: 'policy', digest: parseHex(policies[run % 2 === 0 ? 0 : 1].digest) }
        : { kind: 'unusable', why: text },
    ),
  declined: (run, text) =>
    peer.formatDeclined({
      ...{ run, code: text === '' ? 'busy' : text, parameter: null, enough: null },
      ...{ detail: null, isTold: false },
    }),
  resolved: (run, text, digest) =>
    peer.formatResolved({
      ...{ run, timeMs: 1000, notAfterMs: 31_000, executableSha256: filled(Number(text) || 0) },
      ...{ actionDigest: digest, interpreterSha256: filled(0), proxySha256: filled(0) },
      bound: noInputs,
    }),
  receipt: (run, text) => peer.formatReceiptFrame(run, Buffer.from(text)),
}

function lie(
  session: Session,
  from: string,
  kind: string,
  run: number,
  rest: readonly string[],
): void {
  const format = formats[kind]
  if (format === undefined || !Number.isSafeInteger(run) || run < 0) return
  const digest = session.bridge.digestOf(run) ?? filled(1)
  cutFrames(format(run, rest.join(' '), digest), (frame) => hear(session, from, frame))
}

function tell(session: Session, from: string, kind: number, body: Uint8Array): void {
  const isKind = Object.values(wireKind).some((known) => known === kind)
  if (isKind) hear(session, from, { kind, body })
}

function hear({ bridge }: Session, from: string, frame: Frame): void {
  if (from === 'broker') bridge.executor.fromBroker(frame)
  else bridge.broker.fromExecutor(frame)
}

function parseBytes(text: string): Uint8Array {
  return Buffer.from(text, 'hex')
}
