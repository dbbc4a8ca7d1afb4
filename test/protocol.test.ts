import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  openReader,
  openWriter,
  readText16,
  readU64,
  writeText16,
  writeU64,
  written,
} from '../src/core/protocol/bytes.ts'
import { cutFrames, formatFrame } from '../src/core/protocol/frame.ts'
import {
  formatExecutorReady,
  parseHello,
  parseRunEnd,
  parseSubmission,
} from '../src/core/protocol/launcher-frames.ts'
import { wireKind } from '../src/core/protocol/layout.ts'
import { parseSignRequest, formatSignRequest } from '../src/core/protocol/peer-frames.ts'
import { formatRequest, parseRequest } from '../src/core/protocol/request.ts'
import {
  exitStatusOf,
  formatProblem,
  isRefusalCode,
  maxProblemBytes,
  problemOf,
} from '../src/core/problem.ts'
import { parseHex } from '../src/core/json/hex.ts'
import { isCleanPath, isGid, isUid } from '../src/core/identity.ts'

const invalid = { code: 'frame_invalid' }
const name = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/)
const text = fc.string({ unit: 'binary', maxLength: 60 }).filter((value) => !value.includes('\0'))

test('request: parse(format(r)) = r', () => {
  fc.assert(
    fc.property(
      name,
      text,
      fc.array(fc.tuple(name, text), { maxLength: 20 }),
      fc.boolean(),
      (action, reason, pairs, hasNonce) => {
        const nonce = hasNonce ? new Uint8Array(16).fill(7) : null
        const request = {
          action,
          reason,
          nonce,
          parameters: pairs.map(([key, value]) => ({ name: key, value })),
        }
        assert.deepEqual(parseRequest(formatRequest(request)), request)
      },
    ),
  )
})

test('request: random bytes are refused, or are what is written again', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        assert.deepEqual(formatRequest(parseRequest(bytes)), bytes)
      } catch (error) {
        assert.ok(error instanceof Error && 'code' in error && error.code === 'frame_invalid')
      }
    }),
  )
})

const plain = { action: 'x', reason: '', nonce: null, parameters: [{ name: 'p', value: 'v' }] }
test('C13 C16: request: what is malformed is refused, not repaired', () => {
  const good = formatRequest(plain)
  const changed = (at: number, value: number): Uint8Array =>
    good.map((byte, i) => (i === at ? value : byte))
  const broken: Uint8Array[] = [
    changed(0, 2),
    changed(1, 1),
    changed(2, 255),
    changed(3, 1),
    good.slice(0, -1),
    Uint8Array.of(...good, 0),
  ]
  for (const action of ['', 'X', '../x', '-x', 'a'.repeat(65), '__proto__'])
    broken.push(formatRequest({ ...plain, action }))
  for (const key of ['', 'P', 'a b', '__proto__'])
    broken.push(formatRequest({ ...plain, parameters: [{ name: key, value: '' }] }))
  broken.push(formatRequest({ ...plain, reason: 'x'.repeat(1025) }))
  broken.push(formatRequest({ ...plain, reason: 'é'.repeat(513) })) // 1,026 bytes in 513 characters
  broken.push(formatRequest({ ...plain, nonce: new Uint8Array(15) }))
  broken.push(formatRequest({ ...plain, parameters: [{ name: 'p', value: 'x'.repeat(40_000) }] }))
  broken.push(formatRequest({ ...plain, parameters: [{ name: 'p', value: 'a\0b' }] }))
  broken.push(
    formatRequest({
      ...plain,
      parameters: Array.from({ length: 65 }, (_, i) => ({ name: `p${i}`, value: '' })),
    }),
  )
  const overlong = formatRequest(plain)
  overlong[overlong.length - 1] = 0xc0
  broken.push(overlong)
  for (const bytes of broken) assert.throws(() => parseRequest(bytes), invalid)
})

test('frames: cut one by one, however the bytes arrive; a bad head ends the stream', () => {
  const frames = [
    formatFrame(1, Uint8Array.of(1, 2)),
    formatFrame(2),
    formatFrame(3, new Uint8Array(500)),
  ]
  const all = Uint8Array.from(frames.flatMap((frame) => [...frame]))
  for (const step of [1, 7, all.length]) {
    const kinds: number[] = []
    let rest: Uint8Array = new Uint8Array(0)
    for (let at = 0; at < all.length; at += step) {
      rest = cutFrames(Uint8Array.from([...rest, ...all.slice(at, at + step)]), ({ kind }) =>
        kinds.push(kind),
      )
    }
    assert.deepEqual(kinds, [1, 2, 3])
    assert.equal(rest.length, 0)
  }
  for (const head of [
    [255, 255, 255, 0, 1, 1, 0, 0],
    [0, 0, 0, 0, 1, 1, 1, 0],
  ])
    assert.throws(() => cutFrames(Uint8Array.from(head), () => undefined), invalid)
  assert.throws(() => formatFrame(1, new Uint8Array(300_000)), { code: 'input_invalid' })
})

test('bytes: numbers above 2^53 are refused, texts above 65,535 bytes too', () => {
  const writer = openWriter(1)
  writeU64(writer, Number.MAX_SAFE_INTEGER)
  writeText16(writer, 'é')
  const reader = openReader(written(writer))
  assert.equal(readU64(reader), Number.MAX_SAFE_INTEGER)
  assert.equal(readText16(reader), 'é')
  assert.throws(() => readU64(openReader(new Uint8Array(8).fill(255))), invalid)
  assert.throws(() => writeText16(writer, 'x'.repeat(65_536)), { code: 'input_invalid' })
})

test('launcher frames: wrong versions, flags, counts and ids are refused', () => {
  assert.throws(() => parseHello(new Uint8Array(16)), invalid)
  assert.throws(() => parseHello(Uint8Array.of(1, 0, 0, 0)), invalid)
  assert.throws(() => parseRunEnd(new Uint8Array(57)), invalid)
  const submit = (change: (view: DataView) => void): Uint8Array => {
    const bytes = new Uint8Array(68)
    const view = new DataView(bytes.buffer)
    view.setUint32(28, 1, true)
    change(view)
    return bytes
  }
  assert.equal(parseSubmission(submit(() => undefined)).subject.foreign, false)
  assert.equal(parseSubmission(submit((view) => view.setUint32(20, 2, true))).subject.foreign, true)
  for (const change of [
    (view: DataView) => view.setUint32(12, 0xffff_ffff, true),
    (view: DataView) => view.setUint32(16, 0xffff_ffff, true),
    (view: DataView) => view.setUint32(20, 8, true),
    (view: DataView) => view.setUint32(28, 257, true),
    (view: DataView) => view.setUint32(32, 4096, true), // cgroups
    (view: DataView) => view.setUint32(36, 5, true), // inputs
    (view: DataView) => view.setUint32(64, 0xffff_ffff, true),
  ]) {
    assert.throws(() => parseSubmission(submit(change)), invalid)
  }
})

test('sign requests: parse(format(r)) = r; too many hashes are refused', () => {
  const request = {
    treeSize: 9,
    previousSize: 3,
    root: new Uint8Array(32).fill(1),
    consistency: [new Uint8Array(32)],
  }
  const body = formatSignRequest(request).slice(8)
  assert.deepEqual(parseSignRequest(body), request)
  assert.throws(() => parseSignRequest(body.with(48, 65)), invalid)
  assert.throws(() => parseSignRequest(body.with(52, 1)), invalid)
})

test('problems: every code has a title, and says nothing that was not given', () => {
  assert.equal(
    formatProblem('busy', {}),
    '{"ask":"again later","code":"busy","title":"too many requests","type":"urn:belladonna:problem:busy"}',
  )
  assert.match(
    formatProblem('not_granted', { action: 'x', parameter: 'p', enough: 'e', entry: 0 }),
    /"action":"x".*"enough":"e","entry":0,"parameter":"p"/,
  )
  assert.ok(isRefusalCode('busy') && !isRefusalCode('constructor'))
  assert.equal(exitStatusOf('action_unknown'), 127)
  assert.equal(exitStatusOf('executable_unsafe'), 126)
  assert.equal(exitStatusOf('busy'), 125)
})

test('problems: DESIGN section 5: a refusal says the rule and how to ask, in words of the policy', () => {
  const { rule, ask } = problemOf('grant_used_up', { action: 'x' })
  assert.deepEqual([rule, ask], ['grant.uses', 'whoever keeps the policy'])
  assert.equal(problemOf('parameter_invalid', { parameter: 'p' }).rule, 'action.params.p')
  assert.equal(problemOf('parameter_unknown', {}).rule, 'action.params')
  // Of what the caller can mend alone `enough` says how.
  assert.equal(problemOf('parameter_invalid', { parameter: 'p' }).ask, undefined)
})

test('promise 7: problems: one fits into its frame, however much would be enough', () => {
  for (const letter of ['n', '"', '\u0001', 'é', '🦊']) {
    for (const length of [3000, 4096, 70_000]) {
      const enough = letter.repeat(length)
      const text = formatProblem('parameter_invalid', { action: 'a', parameter: 'p', enough })
      assert.ok(Buffer.byteLength(text) <= maxProblemBytes)
      const shown = String(Object(JSON.parse(text)).enough)
      assert.ok(enough.startsWith(shown.replace(/…$/, '')) && shown.length > 200)
      assert.equal(shown.endsWith('…'), shown !== enough)
    }
  }
})

test('problems: what a policy has bounds for is never cut', () => {
  const text = formatProblem('not_granted', { action: 'a'.repeat(maxProblemBytes) })
  assert.ok(text.includes('a'.repeat(maxProblemBytes)))
})

test('promise 7: problems: what is too long for the launcher is left out, the detail first', () => {
  const [long, most] = ['"é'.repeat(1024), maxProblemBytes]
  for (const [details, has] of [
    [{ detail: 'd', enough: 'e' }, ['detail', 'enough']],
    [{ detail: long, enough: 'e' }, ['enough']],
    [{ detail: 'd', enough: long }, ['enough']],
    [{ detail: long, enough: long }, ['enough']],
  ] as const) {
    const text = formatProblem('path_refused', { ...details, parameter: 'p', entry: 1 })
    assert.ok(new TextEncoder().encode(text).length <= most)
    const names = [...has, 'code', 'entry', 'parameter', 'rule', 'title', 'type']
    assert.deepEqual(Object.keys(JSON.parse(text)).sort(), names.sort())
  }
})

test('identity: guards take what is an id or a clean path and nothing else', () => {
  for (const value of [-1, 4_294_967_295, 1.5, '0', null, NaN])
    assert.ok(!isUid(value) && !isGid(value))
  assert.ok(isUid(0) && isGid(4_294_967_294))
  for (const value of ['/', '/a', '/a/b']) assert.ok(isCleanPath(value))
  for (const value of ['', 'a', '//', '/a/', '/a//b', '/a/../b', '/./a', '/a\0', 1])
    assert.ok(!isCleanPath(value))
  assert.throws(() => parseHex('abc'), { code: 'input_invalid' })
  assert.deepEqual(parseHex('00ff'), Uint8Array.of(0, 255))
  assert.ok(Object.keys(wireKind).length > 20)
})

test('executor ready: the mask is eight bytes, little-endian', () => {
  const frame = formatExecutorReady((1n << 40n) | 2n)
  assert.deepEqual([...frame.slice(-8)], [2, 0, 0, 0, 0, 1, 0, 0])
})

test('submission: groups come in ascending order, each once', () => {
  const bytes = new Uint8Array(64 + 3 * 4)
  const view = new DataView(bytes.buffer)
  view.setUint32(28, 3, true)
  for (const [index, group] of [27, 4, 27].entries()) view.setUint32(64 + index * 4, group, true)
  assert.deepEqual(parseSubmission(bytes).subject.groups, [4, 27])
})

test('submission: the cgroups stand between groups and request, and name the unit', () => {
  const cgroups = new TextEncoder().encode('0::/system.slice/deploy.service\n')
  const bytes = Buffer.concat([new Uint8Array(64), cgroups, Uint8Array.of(7)])
  assert.throws(() => parseSubmission(bytes.subarray(0, 74).fill(200, 32, 33)), invalid)
  bytes.fill(cgroups.length, 32, 33)
  const { subject, request } = parseSubmission(bytes)
  assert.equal(subject.unit, 'deploy.service')
  assert.deepEqual([...request], [7])
})
