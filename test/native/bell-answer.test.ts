import assert from 'node:assert/strict'
import { after, test } from 'node:test'

import { wireLayout } from '../../src/core/protocol/layout.ts'
import {
  answering,
  bellPrograms,
  endedKind,
  exited0,
  frameOf,
  makeTemporaryDirectory,
  refusedKind,
  removeDirectory,
  runBell,
  terminalKind,
} from './bell-bridge.ts'
import type { Behave } from './bell-bridge.ts'

const directory = makeTemporaryDirectory()
after(() => {
  removeDirectory(directory)
})
const programs = bellPrograms

const problem = { type: 'about:blank', title: 'not permitted', code: 'not_granted', entry: 12 }
const badParameter = {
  ...problem,
  code: 'parameter_invalid',
  parameter: 'unit',
  enough: 'one of "a"',
}
const badPath = {
  ...badParameter,
  code: 'path_refused',
  detail: '"/r/\u001b[2J" is not there',
}
const ticket = '{"action_digest":"00ff","entry":12,"receipt":"ab"}'

/** What a relay says at the end of ENDED. */
function wordOf(
  flags: number,
  [outWritten, outDelivered]: readonly [number, number],
  [errWritten, errDelivered]: readonly [number, number] = [0, 0],
  version = 1,
): Buffer {
  const word = Buffer.alloc(wireLayout.output.size)
  const { out, err } = wireLayout.output.offsets
  word.writeUInt32LE(version, 0)
  word.writeUInt32LE(flags, 4)
  word.writeBigUInt64LE(BigInt(outWritten), out)
  word.writeBigUInt64LE(BigInt(outDelivered), out + 8)
  word.writeBigUInt64LE(BigInt(errWritten), err)
  word.writeBigUInt64LE(BigInt(errDelivered), err + 8)
  return word
}

const ruled = String.raw`{"ask":"somebody","code":"c","enough":"a\\.\"b","entry":7,"rule":"grant.uses","title":"t"}`
const answers: readonly Readonly<{
  name: string
  answer: Buffer
  status: number
  stderr: string
  json: string
}>[] = [
  {
    name: 'exit status 0',
    answer: exited0,
    status: 0,
    stderr: '',
    json: '{"end":"exited","value":0}',
  },
  {
    name: 'exit status 255 and a ticket',
    answer: frameOf(endedKind, 1, 255, 0, ticket.length, ticket),
    status: 255,
    stderr: '',
    json: '{"end":"exited","value":255,"action_digest":"00ff","entry":12,"receipt":"ab"}',
  },
  {
    name: 'SIGKILL',
    answer: frameOf(endedKind, 2, 9, 0, 0),
    status: 137,
    stderr: '',
    json: '{"end":"signalled","value":9}',
  },
  {
    name: 'SIGKILL for want of memory',
    answer: frameOf(endedKind, 2, 9, 3 << 16, 0),
    status: 137,
    stderr: 'bell: the kernel killed a process of the run for want of memory',
    json: '{"end":"signalled","value":9,"limits_hit":["memory"]}',
  },
  {
    name: 'exit status 2 after a fork that was one too many',
    answer: frameOf(endedKind, 1, 2, 5 << 16, ticket.length, ticket),
    status: 2,
    stderr: 'bell: the run could not start another process: it had as many as it may have',
    json: '{"end":"exited","value":2,"action_digest":"00ff","entry":12,"receipt":"ab","limits_hit":["processes"]}',
  },
  {
    name: 'the time limit, and all others',
    answer: frameOf(endedKind, 3, 0, 7 << 16, 0),
    status: 124,
    stderr:
      'bell: the time limit ran out, the command was killed; the kernel killed a process of the run for want of memory; the run could not start another process: it had as many as it may have',
    json: '{"end":"timed_out","value":0,"limits_hit":["memory","processes"]}',
  },
  {
    name: 'limits that were looked at, and not hit',
    answer: frameOf(endedKind, 1, 1, 1 << 16, 0),
    status: 1,
    stderr: '',
    json: '{"end":"exited","value":1}',
  },
  {
    name: 'the time limit',
    answer: frameOf(endedKind, 3, 0, 0, 0),
    status: 124,
    stderr: 'bell: the time limit ran out, the command was killed',
    json: '{"end":"timed_out","value":0}',
  },
  {
    name: 'a failed mount',
    answer: frameOf(endedKind, 4, 2, 4, 0),
    status: 125,
    stderr: 'bell: the command was not started: mount: No such file or directory',
    json: '{"end":"failed","value":2,"stage":"mount"}',
  },
  {
    name: 'a file that cannot be executed',
    answer: frameOf(endedKind, 4, 8, 10, 0),
    status: 126,
    stderr: 'bell: the command was not started: exec: Exec format error',
    json: '{"end":"failed","value":8,"stage":"exec"}',
  },
  {
    name: 'a file that is not the one that was hashed',
    answer: frameOf(endedKind, 4, 116, 9, 0),
    status: 126,
    stderr: 'bell: the command was not started: executable: Stale file handle',
    json: '{"end":"failed","value":116,"stage":"executable"}',
  },
  {
    name: 'a run given up',
    answer: frameOf(endedKind, 5, 0, 0, 0),
    status: 125,
    stderr: 'bell: the run was given up before the command started',
    json: '{"end":"gone","value":0}',
  },
  {
    name: 'a bridge that lost a process',
    answer: frameOf(endedKind, 6, 0, 0, 0),
    status: 125,
    stderr: 'bell: a process of the bridge died, the command was killed',
    json: '{"end":"lost","value":0}',
  },
  {
    name: 'a ticket that is no object keeps the status',
    answer: frameOf(endedKind, 1, 3, 0, 2, '[]'),
    status: 3,
    stderr: '',
    json: '{"end":"exited","value":3,"ticket":"malformed"}',
  },
  {
    name: 'an output that was cut off, and a ticket',
    answer: frameOf(
      endedKind,
      ...[1, 0, 0, ticket.length, ticket],
      wordOf(1, [10 * 1024 ** 3, 600], [400, 400]),
    ),
    status: 0,
    stderr:
      "bell: the output was cut off at the action's limit: 1000 of 10737418640 bytes were passed on",
    json:
      '{"end":"exited","value":0,"action_digest":"00ff","entry":12,"receipt":"ab","output":' +
      '{"truncated":true,"undelivered":false,"stdout":{"written":10737418240,"delivered":600},' +
      '"stderr":{"written":400,"delivered":400}}}',
  },
  {
    name: 'the time limit, and an output that was cut off',
    answer: frameOf(endedKind, 3, 0, 0, 0, wordOf(3, [5000, 1000])),
    status: 124,
    stderr:
      "bell: the time limit ran out, the command was killed; the output was cut off at the action's limit: " +
      '1000 of 5000 bytes were passed on',
    json:
      '{"end":"timed_out","value":0,"output":{"truncated":true,"undelivered":true,' +
      '"stdout":{"written":5000,"delivered":1000},"stderr":{"written":0,"delivered":0}}}',
  },
  {
    name: 'an output that was whole',
    answer: frameOf(endedKind, 1, 3, 0, 0, wordOf(0, [5, 5])),
    status: 3,
    stderr: '',
    json:
      '{"end":"exited","value":3,"output":{"truncated":false,"undelivered":false,' +
      '"stdout":{"written":5,"delivered":5},"stderr":{"written":0,"delivered":0}}}',
  },
  {
    name: 'an output that its reader did not want',
    answer: frameOf(endedKind, 2, 13, 0, 0, wordOf(2, [5, 4])),
    status: 141,
    stderr: '',
    json:
      '{"end":"signalled","value":13,"output":{"truncated":false,"undelivered":true,' +
      '"stdout":{"written":5,"delivered":4},"stderr":{"written":0,"delivered":0}}}',
  },
  {
    name: 'an output that went to a terminal of its own, of which a TERMINAL without a descriptor told',
    answer: Buffer.concat([
      frameOf(terminalKind, 0),
      frameOf(terminalKind, 1),
      frameOf(endedKind, 1, 0, 0, 0, wordOf(4, [0, 0])),
    ]),
    status: 0,
    stderr: '',
    json:
      '{"end":"exited","value":0,"output":{"truncated":false,"undelivered":false,' +
      '"stdout":{"written":0,"delivered":0},"stderr":{"written":0,"delivered":0},' +
      '"terminal":{"written":0,"delivered":0}}}',
  },
  ...[
    wordOf(1, [5, 6]),
    wordOf(1, [5, 4], [0, 1]),
    wordOf(9, [5, 4]),
    wordOf(1, [5, 4], [0, 0], 2),
  ].map((word, at) => ({
    name: `a relay's word that cannot be true keeps the status (${at})`,
    ...{ answer: frameOf(endedKind, 1, 3, 0, 0, word), status: 3, stderr: '' },
    json: '{"end":"exited","value":3,"output":"malformed"}',
  })),
  {
    name: 'a refusal with an entry',
    answer: frameOf(refusedKind, 125, JSON.stringify(problem)),
    status: 125,
    stderr: 'bell: not permitted: not_granted (entry 12)',
    json: JSON.stringify(problem),
  },
  {
    name: 'a refusal that names a parameter',
    answer: frameOf(refusedKind, 125, JSON.stringify(badParameter)),
    status: 125,
    stderr: 'bell: not permitted: parameter_invalid, parameter unit: one of "a" (entry 12)',
    json: JSON.stringify(badParameter),
  },
  {
    name: 'C60: a refused file, by a name that would steer a terminal',
    answer: frameOf(refusedKind, 125, JSON.stringify(badPath)),
    status: 125,
    stderr:
      'bell: not permitted: path_refused, parameter unit: "/r/\\u001b[2J" is not there; enough: one of "a" (entry 12)',
    json: JSON.stringify(badPath),
  },
  {
    name: 'a refusal that names its rule, a pattern as the policy has it, and whom to ask',
    ...{ answer: frameOf(refusedKind, 125, ruled), status: 125, json: ruled },
    stderr: 'bell: t: c, rule grant.uses: a\\."b (entry 7); ask somebody',
  },
  {
    name: 'an unknown action',
    answer: frameOf(refusedKind, 127, '{"title":"no such action","code":"action_unknown"}'),
    status: 127,
    stderr: 'bell: no such action: action_unknown',
    json: '{"title":"no such action","code":"action_unknown"}',
  },
  {
    name: 'a refusal never says 0',
    answer: frameOf(refusedKind, 0, '{"title":"t","code":"c"}'),
    status: 125,
    stderr: 'bell: t: c',
    json: '{"title":"t","code":"c"}',
  },
  {
    name: 'members that nobody asked for are passed over',
    answer: frameOf(refusedKind, 125, '{"x":[{"code":"]"},1],"code":"c","title":"t","y":null}'),
    status: 125,
    stderr: 'bell: t: c',
    json: '{"x":[{"code":"]"},1],"code":"c","title":"t","y":null}',
  },
  {
    name: 'C60: C1, DEL, bidi, tags, fillers, variation selectors and broken UTF-8 are escaped',
    answer: frameOf(
      refusedKind,
      125,
      '{"title":"a\u009b\u007f\u202e\u{e0041}\u3164\ufe0fä',
      Uint8Array.of(0xff),
      '","code":"\\u001b[1m"}',
    ),
    status: 125,
    stderr: 'bell: a\\u009b\\u007f\\u202e\\udb40\\udc41\\u3164\\ufe0fä\\ufffd: \\u001b[1m',
    json: '{"title":"a\\u009b\\u007f\\u202e\\udb40\\udc41\\u3164\\ufe0fä\\ufffd","code":"\\u001b[1m"}',
  },
]

for (const { name, answer, status, stderr, json } of answers) {
  test(`bell: ${name}`, async () => {
    for (const program of Object.values(programs)) {
      const plain = await runBell({ program, arguments: ['a'], behave: answering(answer) })
      assert.deepEqual([plain.status, plain.stderr], [status, stderr === '' ? '' : `${stderr}\n`])
      const asJson = await runBell({
        program,
        arguments: ['--json', 'a'],
        behave: answering(answer),
      })
      assert.deepEqual([asJson.status, asJson.stderr], [status, `${json}\n`])
      assert.equal(plain.stdout + asJson.stdout, '')
    }
  })
}

function withHead(frame: Buffer, change: (head: Buffer) => void): Buffer {
  const copy = Buffer.from(frame)
  change(copy)
  return copy
}

const notOfItsForm = "bell: the bridge's answer is not of its form\n"
const lost = 'bell: the connection to the bridge was lost\n'
const hostile: readonly Readonly<{ name: string; answer: Buffer; stderr?: string }>[] = [
  { name: 'no answer', answer: Buffer.alloc(0), stderr: lost },
  { name: 'half an answer', answer: exited0.subarray(0, 20), stderr: lost },
  { name: 'half a head', answer: exited0.subarray(0, 5), stderr: lost },
  { name: 'a request', answer: frameOf(0x0101, 1, 0, 0, 0) },
  { name: 'a TERMINAL of two numbers', answer: frameOf(terminalKind, 0, 0) },
  { name: 'a TERMINAL and no more', answer: frameOf(terminalKind, 0), stderr: lost },
  { name: 'kind 0', answer: frameOf(0, 1, 0, 0, 0) },
  {
    name: 'a head whose last field is not 0',
    answer: withHead(exited0, (h) => h.writeUInt16LE(1, 6)),
  },
  { name: 'a size of 2^32-1', answer: withHead(exited0, (h) => h.writeUInt32LE(0xffff_ffff, 0)) },
  { name: 'a problem over 4 KiB', answer: frameOf(refusedKind, 125, 'x'.repeat(4097)) },
  { name: 'a ticket over 256 bytes', answer: frameOf(endedKind, 1, 0, 0, 257, 'x'.repeat(257)) },
  { name: 'an end that is too short', answer: frameOf(endedKind, 1, 0, 0) },
  { name: 'a refusal without a status', answer: frameOf(refusedKind, 'abc') },
  { name: 'a second frame', answer: Buffer.concat([exited0, exited0]) },
  { name: 'a byte too many', answer: Buffer.concat([exited0, Buffer.alloc(1)]) },
  { name: "a ticket size that is not the ticket's", answer: frameOf(endedKind, 1, 0, 0, 1) },
  {
    name: "half a relay's word",
    answer: frameOf(endedKind, 1, 0, 0, 0, wordOf(0, [0, 0]).subarray(0, 52)),
  },
  {
    name: "a ticket of 257 bytes in place of a relay's word",
    answer: frameOf(endedKind, 1, 0, 0, 257, 'x'.repeat(257)),
  },
  {
    name: "two relays' words",
    answer: frameOf(endedKind, 1, 0, 0, 0, wordOf(0, [0, 0]), wordOf(0, [0, 0])),
  },
  { name: 'end 0', answer: frameOf(endedKind, 0, 0, 0, 0) },
  { name: 'end 7', answer: frameOf(endedKind, 7, 0, 0, 0) },
  { name: 'exit status 256', answer: frameOf(endedKind, 1, 256, 0, 0) },
  { name: 'signal 0', answer: frameOf(endedKind, 2, 0, 0, 0) },
  { name: 'signal 65', answer: frameOf(endedKind, 2, 65, 0, 0) },
  { name: 'stage 15', answer: frameOf(endedKind, 4, 1, 15, 0) },
  { name: 'errno 0 of a failure', answer: frameOf(endedKind, 4, 0, 4, 0) },
  { name: 'errno 4096', answer: frameOf(endedKind, 4, 4096, 4, 0) },
  ...[
    ['an empty problem', ''],
    ['C60: an ESC in the problem', '{"title":"\u001b[2J","code":"c"}'],
    ['a problem on two lines', '{"title":"t",\n"code":"c"}'],
    ['a problem that goes on', '{"title":"t","code":"c"}x'],
    ['a problem without a code', '{"title":"t"}'],
    ['a code that is a number', '{"title":"t","code":1}'],
    ['a member twice', '{"title":"t","code":"c","code":"d"}'],
    ['a string that does not end', '{"title":"t","code":"c'],
    ['a string that ends in a backslash', '{"title":"t","code":"c\\"}'],
    ['a problem that is an array', '["title","code"]'],
    ['nesting that does not end', `{"x":${'['.repeat(4000)}`],
  ].map(([name = '', text = '']) => ({ name, answer: frameOf(refusedKind, 0, text) })),
]

for (const { name, answer, stderr } of hostile) {
  test(`bell ends with 125 on ${name}`, async () => {
    for (const program of Object.values(programs)) {
      const outcome = await runBell({ program, arguments: ['a'], behave: answering(answer) })
      assert.deepEqual([outcome.status, outcome.stderr], [125, stderr ?? notOfItsForm])
    }
  })
}

test('bell refuses an answer of the wrong size without waiting for the rest', async () => {
  const head = withHead(exited0, (h) => h.writeUInt32LE(0x7fff_ffff, 0)).subarray(0, 8)
  const behave: Behave = (connection) => connection.write(head)
  const outcome = await runBell({ program: programs.release, arguments: ['a'], behave })
  assert.deepEqual([outcome.status, outcome.stderr], [125, notOfItsForm])
})

test('bell takes an answer that comes byte by byte', async () => {
  const behave: Behave = (connection) => {
    void (async () => {
      for (const byte of frameOf(endedKind, 1, 42, 0, ticket.length, ticket)) {
        await new Promise((resolve) => connection.write(Uint8Array.of(byte), resolve))
      }
    })()
  }
  const outcome = await runBell({ program: programs.release, arguments: ['a'], behave })
  assert.equal(outcome.status, 42)
})
