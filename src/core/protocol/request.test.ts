import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { formatRequest, parseRequest } from './request.ts'
import type { ActionRequest } from './request.ts'

type VectorRequest = Omit<ActionRequest, 'nonce'> & Readonly<{ nonce: string | null }>
type Vectors = Readonly<{
  valid: readonly Readonly<{ name: string; frame: string; request: VectorRequest }>[]
  invalid: readonly Readonly<{ name: string; frame: string; refused_by: string }>[]
}>

const { valid, invalid }: Vectors = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/wire-request.json', import.meta.url), 'utf8'),
)
const headBytes = 8

function bodyOf(frame: string): Uint8Array {
  const groups = frame.split(' ').map((group) => {
    const [hex = '', times = '1'] = group.split('*')
    return hex.repeat(Number(times))
  })
  return Uint8Array.from(Buffer.from(groups.join(''), 'hex').subarray(headBytes))
}

function repeated(text: string): string {
  return text.replace(/(.)\*(\d+)$/u, (_, letter: string, times: string) =>
    letter.repeat(Number(times)),
  )
}

function requestOf({ action, reason, nonce, parameters }: VectorRequest): ActionRequest {
  return {
    action: repeated(action),
    reason: repeated(reason),
    nonce: nonce === null ? null : Uint8Array.from(Buffer.from(nonce, 'hex')),
    parameters: parameters.map(({ name, value }) => ({
      name: repeated(name),
      value: repeated(value),
    })),
  }
}

for (const { name, frame, request } of valid) {
  test(`request: vector: ${name}`, () => {
    const body = bodyOf(frame)
    assert.deepEqual(parseRequest(body), requestOf(request))
    assert.deepEqual(formatRequest(requestOf(request)), body)
  })

  test(`request: vector cut short at any byte: ${name}`, () => {
    const body = bodyOf(frame)
    // Every length of the short ones; of the long ones the ends, and steps between.
    const step = Math.max(1, Math.floor(body.length / 500))
    for (let size = 0; size < body.length; size += size < 64 ? 1 : step) {
      assert.throws(() => parseRequest(body.subarray(0, size)), { code: 'frame_invalid' })
    }
    assert.throws(() => parseRequest(body.subarray(0, -1)), { code: 'frame_invalid' })
  })
}

for (const { name, frame } of invalid.filter(({ refused_by }) => refused_by === 'decoder')) {
  test(`request: refused vector: ${name}`, () => {
    assert.throws(() => parseRequest(bodyOf(frame)), { code: 'frame_invalid' })
  })
}

test('request: the vectors name no third reader, and each reader has some', () => {
  const readers = new Set(invalid.map(({ refused_by }) => refused_by))
  assert.deepEqual([...readers].sort(), ['decoder', 'launcher'])
})
