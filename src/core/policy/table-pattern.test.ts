import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compileMatch } from './automaton.ts'
import type { Automaton } from './automaton.ts'
import { complementOf, valueAlphabet } from './code-points.ts'
import { determinise } from './determinise.ts'
import { minimise } from './minimise.ts'
import { anyPattern } from './pattern.test-support.ts'
import { patternOfTable } from './table-pattern.ts'
import { isUnambiguous } from './unambiguous.ts'

const options = { slash: true, space: true }
const alphabet = valueAlphabet(options)

function tableOf(pattern: string): Automaton | null {
  const compiled = compileMatch(pattern, options)
  return compiled.kind === 'compiled' ? compiled.table : null
}

test('table pattern: any table comes out of its pattern again, which matches each text in one way', () => {
  let made = 0
  fc.assert(
    fc.property(anyPattern, (pattern) => {
      const table = tableOf(pattern)
      const node = table === null ? null : patternOfTable(table, [])
      if (node === null) return
      made += 1
      assert.deepEqual(minimise(determinise(node)), table, pattern)
      assert.ok(isUnambiguous(node), pattern)
    }),
    { numRuns: 150 },
  )
  assert.ok(made > 60, `only ${made} were not too long`)
})

test('table pattern: what is free is in one set of a state at most', () => {
  const free = complementOf(alphabet)
  const table = tableOf('(.|a)*x')
  assert.ok(table !== null)
  const node = patternOfTable(table, free)
  assert.ok(node !== null && isUnambiguous(node))
  assert.match(JSON.stringify(node), /\[\[0,119\],\[121,1114111\]\]/)
})

test('table pattern: what would be too long is not made', () => {
  const table = tableOf('(a|b)*a(a|b){8}')
  assert.ok(table !== null)
  assert.equal(patternOfTable(table, []), null)
})
