import assert from 'node:assert/strict'
import { test } from 'node:test'
import { applyEdits, formatDifference } from './edits.ts'
import type { TextEdit } from './edits.ts'

const names = { old: 'a', new: 'b' }
const lines = (from: number, to: number): string =>
  Array.from({ length: to - from }, (_, at) => `${from + at}\n`).join('')
/** The first place of `part`, and what takes it. */
const edit = (text: string, part: string, instead: string): TextEdit => {
  const start = text.indexOf(part)
  return { start, end: start + part.length, text: instead }
}

test('edits: without any, the text stays and there is no difference', () => {
  assert.equal(applyEdits('abc', []), 'abc')
  assert.equal(formatDifference(names, 'abc', []), '')
})

test('edits: insert, replace and delete, in order', () => {
  const edits = [
    { start: 0, end: 0, text: '1' },
    { start: 1, end: 2, text: 'B' },
    { start: 3, end: 4, text: '' },
  ]
  assert.equal(applyEdits('abcde', edits), '1aBce')
})

const ten = lines(0, 10)
const thirty = lines(10, 40)
const rows: readonly (readonly [string, string, readonly TextEdit[], string])[] = [
  [
    'a line goes, with three lines around it',
    ten,
    [edit(ten, '5\n', '')],
    '@@ -3,7 +3,6 @@\n 2\n 3\n 4\n-5\n 6\n 7\n 8\n',
  ],
  ['a line comes before the first', 'x\n', [edit('x\n', '', 'n\n')], '@@ -1,1 +1,2 @@\n+n\n x\n'],
  ['a text that is empty', '', [edit('', '', 'n\n')], '@@ -0,0 +1,1 @@\n+n\n'],
  ['all that there is goes', 'x\n', [edit('x\n', 'x\n', '')], '@@ -1,1 +0,0 @@\n-x\n'],
  ['a part of a line', 'x y\n', [edit('x y\n', 'x ', '')], '@@ -1,1 +1,1 @@\n-x y\n+y\n'],
  [
    'two parts of one line',
    'x y z\n',
    [edit('x y z\n', 'x ', ''), edit('x y z\n', ' z', '')],
    '@@ -1,1 +1,1 @@\n-x y z\n+y\n',
  ],
  [
    'a part of the last line, which has no end',
    'x\ny z',
    [edit('x\ny z', ' z', '')],
    '@@ -1,2 +1,2 @@\n x\n-y z\n\\ No newline at end of file\n+y\n\\ No newline at end of file\n',
  ],
  [
    'the last line, which has no end, goes',
    'x\ny',
    [edit('x\ny', 'y', '')],
    '@@ -1,2 +1,1 @@\n x\n-y\n\\ No newline at end of file\n',
  ],
  [
    'lines that are joined',
    'x\ny\nz\n',
    [edit('x\ny\nz\n', '\ny', '')],
    '@@ -1,3 +1,2 @@\n-x\n-y\n+x\n z\n',
  ],
  [
    'changes that are near share a hunk, and later ones count what was taken before',
    thirty,
    [edit(thirty, '12\n', ''), edit(thirty, '17\n', ''), edit(thirty, '30\n', '')],
    '@@ -1,11 +1,9 @@\n 10\n 11\n-12\n 13\n 14\n 15\n 16\n-17\n 18\n 19\n 20\n' +
      '@@ -18,7 +16,6 @@\n 27\n 28\n 29\n-30\n 31\n 32\n 33\n',
  ],
]

for (const [name, text, edits, want] of rows) {
  test(`edits: difference: ${name}`, () => {
    assert.equal(formatDifference(names, text, edits), `--- a\n+++ b\n${want}`)
  })
}
