/**
 * Where fuzzing of C begins: frames and plans that are right, made from the vectors in spec/, and in the forms that
 * native/fuzz/TARGET.c reads. Whatever the wire format becomes, these follow it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatBoot } from '../../src/core/protocol/boot.ts'
import { supervisorOf } from '../../src/core/protocol/supervisor.ts'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireEnd, wireKind, wireLayout, wirePlanFlag } from '../../src/core/protocol/layout.ts'
import { formatRequest } from '../../src/core/protocol/request.ts'

/** The targets in C, by the name of their file. */
export const nativeTargets = ['session', 'child', 'boot', 'answer', 'relay'] as const
export type NativeTarget = (typeof nativeTargets)[number]

export const checkout: string = join(import.meta.dirname, '../..')

type Vector = Readonly<{ name: string; bytes: string }>

/** What to begin with: made here, and the inputs that earlier fuzzing found and somebody kept. */
export function seedsOf(target: NativeTarget): readonly Uint8Array[] {
  const made = {
    ...{ session: sessionSeeds, child: childSeeds, boot: bootSeeds },
    ...{ answer: answerSeeds, relay: relaySeeds },
  }
  return [...made[target](), ...keptInputs(target)]
}

/** A line of hex digits each. */
function keptInputs(target: string): readonly Uint8Array[] {
  const path = join(checkout, 'native/fuzz/corpus', `${target}.txt`)
  if (!existsSync(path)) return []
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.filter((line) => /^[0-9a-f]+$/.test(line)).map((line) => Buffer.from(line, 'hex'))
}

function vectors(file: string): readonly Uint8Array[] {
  const read: readonly Vector[] = JSON.parse(
    readFileSync(join(checkout, 'spec/vectors', file), 'utf8'),
  )
  return read.map(({ bytes }) => Buffer.from(bytes, 'hex'))
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 255, value >>> 8)
}

function u32(value: number): Uint8Array {
  return Buffer.concat([u16(value & 0xffff), u16(value >>> 16)])
}

function u64(value: number): Uint8Array {
  return Buffer.concat([u32(value), u32(0)])
}

function prepareBody(run: number, plan: Uint8Array, command: Uint8Array, inputs = 0): Buffer {
  const sizes = [plan.length, command.length, inputs, 0].map(u32)
  return Buffer.concat([u64(run), ...sizes, plan, command])
}

/** With the body of another one behind it: that of its proxy. */
function proxiedBody(run: number, plan: Uint8Array, command: Uint8Array): Buffer {
  const needy = Buffer.from(plan)
  const at = wireLayout.plan.offsets.flags
  needy.writeUInt32LE(needy.readUInt32LE(at) | wirePlanFlag.proxied, at)
  const [outer, inner] = [prepareBody(run, needy, command), prepareBody(run, plan, command)]
  outer.writeUInt32LE(inner.length, wireLayout.prepare.offsets.proxySize)
  return Buffer.concat([outer, inner])
}

// --- native/fuzz/session.c -----------------------------------------------------------------------------------------

const operation = {
  connect: 0,
  clientSays: 1,
  executorSays: 2,
  brokerSays: 3,
  clientGone: 4,
  deadline: 5,
  report: 6,
  exit: 7,
  proxy: 8,
  relaySays: 9,
  signal: 10,
  restart: 11,
} as const

function message(
  name: keyof typeof operation,
  argument: number,
  bytes: Uint8Array = Buffer.alloc(0),
): Buffer {
  return Buffer.concat([
    Uint8Array.of(operation[name], argument),
    u16(bytes.length),
    Buffer.from(bytes),
  ])
}

function sessionSeeds(): readonly Uint8Array[] {
  const plans = vectors('plan.json')
  const [plan, capped] = [plans[0] ?? Buffer.alloc(0), plans.at(-1) ?? Buffer.alloc(0)]
  const [command = Buffer.alloc(0)] = vectors('plan-command.json')
  const parameters = [{ name: 'service', value: 'nginx.service' }]
  const body = formatRequest({ action: 'service.restart', reason: '', nonce: null, parameters })
  const request = formatFrame(wireKind.request, body)
  const asked = message('connect', 3, request)
  const frame = (kind: number, ...parts: readonly Uint8Array[]): Uint8Array =>
    formatFrame(kind, Buffer.concat(parts))
  const prepare = (run: number, of = plan): Buffer =>
    message('executorSays', 0, frame(wireKind.prepare, prepareBody(run, of, command)))
  const proxied = message(
    ...(['executorSays', 0, frame(wireKind.prepare, proxiedBody(1, plan, command))] as const),
  )
  const open = (run: number): Buffer =>
    message('executorSays', 0, frame(wireKind.open, u64(run), Buffer.from('{"entry":1}')))
  const widest = frame(wireKind.open, u64(1), Buffer.alloc(256, 'x')) // the largest ticket
  const tooWide = frame(wireKind.open, u64(1), Buffer.alloc(257, 'x'))
  const refuse = (run: number): Buffer =>
    message(
      'brokerSays',
      0,
      frame(wireKind.refuse, u64(run), u32(125), Buffer.from('{"code":"x"}')),
    )
  const signal = message('clientSays', 0, frame(wireKind.signal, u32(15)))
  const report = message('report', 0, Buffer.concat([u32(1), u32(0), Buffer.alloc(32)]))
  const stopped = (number: number): Buffer =>
    message(
      'report',
      0,
      Buffer.concat([u64(0), u32(wireEnd.stopped), u32(number), Buffer.alloc(40)]),
    )
  const resized = message('clientSays', 0, frame(wireKind.signal, u32(28)))
  const exit = message('exit', 0)
  const said = (kind: number, capabilities: number): Buffer =>
    message('executorSays', 0, frame(kind, u64(capabilities)))
  const kept = said(wireKind.kept, 5)
  const word = message('relaySays', 0, Buffer.concat([u32(1), Buffer.alloc(148)]))
  const withInputs = message('connect', 0x20, request) // four descriptors
  const readPart = (input: number, offset: number): Buffer =>
    message('executorSays', 0, frame(wireKind.read, u64(1), u32(input), u32(offset)))
  const bound = message(
    ...(['executorSays', 0, frame(wireKind.prepare, prepareBody(1, plan, command, 1))] as const),
  )
  const first = [asked, prepare(1), open(1), report, exit]
  return [
    [...first, kept, asked, prepare(2), open(2), report, exit, kept],
    [...first, asked, kept, prepare(2), message('signal', 0), open(2), message('signal', 1), exit],
    [message('restart', 0), message('brokerSays', 0, frame(wireKind.brokerReady))].concat(
      said(wireKind.executorReady, 3),
      first,
    ),
    [...first, message('restart', 1), asked, said(wireKind.executorReady, 3), asked, prepare(2)],
    [withInputs, readPart(0, 0), readPart(0, 131_072), readPart(3, 0), bound, open(1), exit],
    [withInputs, refuse(1), readPart(3, 0), readPart(4, 0)],
    [asked, readPart(0, 0)],
    [asked, prepare(1), message('executorSays', 0, tooWide), exit],
    [asked, message('clientSays', 0x60, frame(wireKind.signal, u32(15)))], // with three descriptors
    [asked, prepare(1, capped), open(1), report, word, exit],
    [asked, prepare(1, capped), open(1), word, resized, report, exit],
    [asked, prepare(1, capped), message('relaySays', 0), open(1), exit],
    [asked, message('executorSays', 1, frame(wireKind.prepare, prepareBody(1, capped, command)))],
    [asked, prepare(1, capped), open(1), message('deadline', 0), message('relaySays', 0), exit],
    [asked, prepare(1), open(1), signal, report, exit],
    [asked, prepare(1), message('executorSays', 0, widest), report, exit],
    [asked, prepare(1), refuse(1), exit],
    [asked, prepare(1), open(1), stopped(0), resized, stopped(20), signal, report, exit],
    [message('connect', 0x43, request), prepare(1, capped), resized, open(1), stopped(0), exit],
    [asked, refuse(1)],
    [asked, proxied, open(1), message('proxy', 0x01), report, exit],
    [asked, proxied, message('proxy', 0x01), open(1), message('proxy', 0), exit],
    [asked, proxied, open(1), message('deadline', 0), exit],
    [asked, proxied, open(1), open(1)],
    [message('connect', 3, request.subarray(0, 5)), message('clientSays', 0, request.subarray(5))],
    [asked, prepare(1), open(1), message('clientGone', 0), message('deadline', 0), exit],
    [asked, asked, prepare(2), prepare(1), open(2), open(1), message('deadline', 1), exit],
    [asked, prepare(1), message('clientSays', 0, frame(wireKind.signal, u32(2))), open(1), exit],
    [message('connect', 2, request), message('connect', 0x83, request)],
    [message('connect', 0, request.subarray(0, 12)), message('deadline', 0)],
  ].map((messages) => Buffer.concat(messages))
}

// --- native/fuzz/child.c, boot.c, answer.c, relay.c -------------------------------------------------------------------------

function childSeeds(): readonly Uint8Array[] {
  const plans = vectors('plan.json')
  const [plain = Buffer.alloc(0), rich = Buffer.alloc(0)] = plans
  const capped = plans.at(-1) ?? Buffer.alloc(0)
  const [command = Buffer.alloc(0), script = Buffer.alloc(0)] = vectors('plan-command.json')
  const commands = [command, withOneStamp(script)]
  const options = [0x01, 0x03, 0x05, 0x09, 0x00, 0x0b]
  const seed = (flags: number, kind: number, plan: Uint8Array, command: Uint8Array): Uint8Array =>
    Buffer.concat([Uint8Array.of(flags, kind, 0, 0), prepareBody(1, plan, command)])
  const atTerminal = [0x11, 0x13, 0x19].flatMap((flags) =>
    [0x70, 0x40].map((kind) => seed(flags, kind, capped, command)),
  )
  const others = options.flatMap((flags) =>
    [plain, rich].flatMap((plan) => commands.map((command) => seed(flags, 0, plan, command))),
  )
  return [...others, ...atTerminal]
}

/** The fuzzer's fstat(2) knows one file: that of the executable. So the script that is bound is to be that file too. */
function withOneStamp(command: Uint8Array): Uint8Array {
  const stampSize = 40
  const afterBind = 2 * (2 + '/usr/local/sbin/backup'.length) + 8
  const copy = Buffer.from(command)
  copy.copy(copy, copy.length - afterBind - stampSize, 16, 16 + stampSize)
  return copy
}

function bootSeeds(): readonly Uint8Array[] {
  const [, , broker = Buffer.alloc(0), executor = Buffer.alloc(0)] = vectors('plan.json')
  const [command = Buffer.alloc(0)] = vectors('plan-command.json')
  return ['', '/sys/fs/cgroup/belladonna'].map((path) =>
    formatBoot({
      runSocket: '/run/belladonna/run.sock',
      bridgeSocket: '/run/belladonna/bridge.sock',
      perUser: 32,
      supervisor: supervisorOf({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '60000000' }, 1),
      isInside: path !== '',
      cgroups: { unified: path, pids: path, memory: path },
      executor: { plan: executor, command },
      broker: { plan: broker, command },
      relay: { plan: broker, command },
      recorder: { plan: broker, command },
    }),
  )
}

function answerSeeds(): readonly Uint8Array[] {
  const problems = [
    '{"code":"not_granted","entry":12,"title":"not permitted","type":"about:blank"}',
    '{"code":"parameter_invalid","enough":"one of \\"a\\"","parameter":"p","title":"t\\u001b"}',
    '{"a":[{"b":"]"},[],1.5e3],"code":"x","title":"\u00e4\u009b\u202e\u{1d11e}"}',
  ]
  const ticket = Buffer.from('{"action_digest":"00ff","entry":3,"receipt":"aa"}')
  const ends = [
    [1, 0, 0],
    [2, 9, 0],
    [3, 0, 0],
    [4, 2, 4],
    [5, 0, 0],
    [6, 0, 0],
  ] as const
  const frames = [
    ...problems.map((text) =>
      formatFrame(wireKind.refused, Buffer.concat([u32(125), Buffer.from(text)])),
    ),
    ...ends.map(([kind, value, stage]) =>
      formatFrame(
        wireKind.ended,
        Buffer.concat([u32(kind), u32(value), u32(stage), u32(ticket.length), ticket]),
      ),
    ),
  ]
  return frames.flatMap((frame) =>
    [0, 1].map((json) => Buffer.concat([Uint8Array.of(json), frame])),
  )
}

/** struct options, then what goes how: 255 is well, and a poll that waits wants a byte for each of the five. */
function relaySeeds(): readonly Uint8Array[] {
  const ready = [255, 255, 255, 255, 0, 0]
  const all = (flags: number, kinds: number, room: number, choices: readonly number[]): Buffer =>
    Buffer.from([flags, kinds, room & 255, room >> 8, ...choices])
  const some = [...ready, 60, 255, 60, 20, ...ready, 240, 100, 225, 4, ...ready, 30, 0]
  return [0x11, 0x13, 0x33, 0x42].flatMap((kinds) => [
    all(0, kinds, 0, some),
    all(0x18, kinds, 40, some),
    all(0x01, kinds, 0xffff, [255, 0, 0, 0, 0, 255, 7, ...some]),
    all(0x01, kinds, 100, [255, 0, 0, 0, 0, 255, 7, 255, 0, 0, 255, 0, 255, 1, ...some]),
    all(0x02, kinds, 100, some),
  ])
}
