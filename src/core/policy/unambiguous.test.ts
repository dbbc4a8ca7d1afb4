import assert from 'node:assert/strict'
import { test } from 'node:test'
import { valueAlphabet } from './code-points.ts'
import { parsePattern } from './pattern.ts'
import { isUnambiguous } from './unambiguous.ts'

const alphabet = valueAlphabet({ slash: true, space: true })
const rows: readonly (readonly [pattern: string, isUnambiguous: boolean])[] = [
  ['', true],
  ['a', true],
  ['a|b', true],
  ['a+', true],
  ['[a-z0-9]+(-[a-z0-9]+)*', true],
  ['[a-z]{1,32}(\\.[a-z]{1,32}){0,3}', true],
  ['a*b|a*c', true], // which of them is known at the end only, and each has one place
  ['(a|b)*c', true],
  ['a|a', false],
  ['|', false],
  ['a?|', false],
  ['(a+)+', false],
  ['(a*)*', false],
  ['(a|aa)*', false],
  ['.*x.*', false],
  ['a*a*', false],
  ['(a?){2}', false],
  ['(?:a{150})*b|(?:a{151})*c', false], // it is not, and nobody looks so long
]

for (const [pattern, want] of rows) {
  test(`unambiguous: ${JSON.stringify(pattern)} is${want ? '' : ' not'}`, () => {
    assert.equal(isUnambiguous(parsePattern(pattern, alphabet)), want)
  })
}
