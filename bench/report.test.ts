import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { format, resolveConfig } from 'prettier'

import type { Comparison, Results } from './plan.ts'
import { formatBlock, formatTable, replaceBlock, unreachedGoals } from './report.ts'

const machine = {
  date: '2026-01-02',
  kernel: '6.1.0',
  processor: 'Some CPU',
  cores: 2,
  versions: { sudo: '1.9', opendoas: '6.8' },
}

function comparison(value: number, goal: Comparison['goal']): Comparison {
  return { what: 'p50', peer: 'sudo -n', ratio: { value, spread: [0.1, 0.3] }, goal }
}

function resultsOf(...comparisons: readonly Comparison[]): Results {
  const figures = [{ command: 'bell', what: 'p50', value: 1.5, unit: 'ms' }] as const
  return { figures, comparisons }
}

for (const [text, reached, value, goal] of [
  ['a low ratio', true, 0.45, { limit: 0.45, best: 'low' }],
  ['a ratio that is too high', false, 0.46, { limit: 0.45, best: 'low' }],
  ['a high rate', true, 2, { limit: 2, best: 'high' }],
  ['a rate that is too low', false, 1.9, { limit: 2, best: 'high' }],
  ['a row without a goal', true, 9, null],
] as const) {
  test(`unreachedGoals: ${text} is ${reached ? 'reached' : 'missed'}`, () => {
    const results = resultsOf(comparison(value, goal))
    assert.equal(unreachedGoals(results).length, reached ? 0 : 1)
    if (goal !== null)
      assert.match(formatTable(machine, results), reached ? /: reached/ : /: missed/)
  })
}

test('formatBlock: names what it was measured on, and holds no absolute time', () => {
  const block = formatBlock(machine, resultsOf(comparison(0.28, null)))
  assert.match(
    block,
    /2026-01-02 with Linux 6\.1\.0 on 2 cores \(Some CPU\): sudo 1\.9, opendoas 6\.8\./,
  )
  assert.match(block, /\| p50 +\| `sudo -n` +\| 0\.28 +\|/)
  assert.doesNotMatch(block, /ms/)
})

test('formatBlock: is as Prettier would have it, on both pages', async () => {
  const wide = { ...comparison(0.000_012_3, null), what: 'decision in process, p99', peer: '5 µs' }
  const block = formatBlock(machine, resultsOf(comparison(0.28, null), wide))
  for (const name of ['../README.md', '../docs/explanation/performance.md']) {
    const path = fileURLToPath(new URL(name, import.meta.url))
    const text = replaceBlock(readFileSync(path, 'utf8'), block)
    const options = await resolveConfig(path)
    assert.equal(await format(text, { ...options, filepath: path }), text)
  }
})

test('replaceBlock: keeps what is around the marks, and can be repeated', () => {
  const text = 'a\n<!-- bench:begin -->\nold\n<!-- bench:end -->\nb\n'
  const once = replaceBlock(text, 'new')
  assert.equal(once, 'a\n<!-- bench:begin -->\nnew\n<!-- bench:end -->\nb\n')
  assert.equal(replaceBlock(once, 'new'), once)
})

for (const text of ['', '<!-- bench:end --><!-- bench:begin -->', '<!-- bench:begin -->']) {
  test(`replaceBlock: refuses ${JSON.stringify(text)}`, () => {
    assert.throws(() => replaceBlock(text, 'new'), /are not there/)
  })
}
