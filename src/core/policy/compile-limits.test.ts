import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseTomlTree } from '../../host/toml-tree.ts'
import { defaultLimits, readLimits } from './compile-limits.ts'
import type { ProfileLimits, ProfileSource } from './profile-source.ts'
import { openFields, openReport } from '../toml/reader.ts'

function read(
  text: string,
  output: ProfileSource['output'],
): Readonly<{ limits: ProfileLimits; hasOwnTime: boolean; codes: readonly string[] }> {
  const report = openReport()
  const keys = { required: [], optional: ['limits'] }
  const fields = openFields(report, parseTomlTree('p.toml', text), keys)
  const { limits, hasOwnTime } = readLimits(report, fields, output)
  return { limits, hasOwnTime, codes: report.list().map(({ line, code }) => `${line}: ${code}`) }
}

const outputs: readonly (readonly [text: string, output: 'pass' | 'capped', bytes: number])[] = [
  ['', 'pass', 0],
  ['', 'capped', 1_048_576],
  ['limits = { time = "1s" }', 'capped', 1_048_576],
  ['limits = { output = "1" }', 'capped', 1],
  ['limits = { output = "1024G" }', 'capped', 2 ** 40],
]
for (const [text, output, bytes] of outputs) {
  test(`compile limits: ${JSON.stringify(text)} caps output = "${output}" at ${bytes}`, () => {
    const { limits, codes } = read(text, output)
    assert.deepEqual([limits.outputBytes, codes], [bytes, []])
  })
}

test('compile limits: what is not said is the default', () => {
  const { limits } = read('limits = { processes = 3 }', 'capped')
  assert.deepEqual(limits, { ...defaultLimits, processes: 3 })
})

test('compile limits: whether a profile says itself how long a run may take', () => {
  assert.equal(read('', 'pass').hasOwnTime, false)
  assert.equal(read('limits = { processes = 3 }', 'pass').hasOwnTime, false)
  assert.equal(read('limits = { time = "30s" }', 'pass').hasOwnTime, true)
})

test('compile limits: a cap on output that nothing would hold is an error', () => {
  assert.deepEqual(read('\nlimits = { output = "1M" }', 'pass').codes, ['2: value_invalid'])
})

for (const size of ['"0"', '"1025G"', '"lots"', '5']) {
  test(`compile limits: an output of ${size} is an error`, () => {
    assert.equal(read(`limits = { output = ${size} }`, 'capped').codes.length, 1)
  })
}

for (const time of ['2d', '25d', '50d', '999999999d']) {
  test(`compile limits: a time of ${time} is an error: no timer of the bridge can wrap`, () => {
    assert.deepEqual(read(`limits = { time = "${time}" }`, 'pass').codes, ['1: value_out_of_range'])
  })
}
