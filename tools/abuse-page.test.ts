import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkBorne, checkClasses, findBearers, formatPage } from './abuse-page.ts'
import type { AbuseGroup } from './abuse-classes.ts'

const groups: readonly AbuseGroup[] = [
  {
    name: 'One',
    classes: [
      { id: 'C01', name: 'first', state: { kind: 'tested' } },
      { id: 'C02', name: 'second', state: { kind: 'construction', why: 'so', at: 'src/a.ts' } },
      { id: 'C03', name: 'third', state: { kind: 'not yet', what: 'parts', issue: 7 } },
    ],
  },
]
const code: [string, string] = ['src/a.ts', '']
const borne: [string, string] = ['src/a.test.ts', "test('C01: it holds', () => {})\n"]
const check = (...files: [string, string][]): readonly string[] => {
  const tree = new Map(files)
  return checkClasses(groups, findBearers(tree), tree)
}

test('abuse page: what the table says is held against the tests', () => {
  assert.deepEqual(check(code, borne), [])
  assert.deepEqual(check(code), ['C01 is called tested, and no test bears it'])
  assert.match(check(code, borne, ['test/b.test.ts', '"C77: more"'])[0] ?? '', /C77 is no class/)
  assert.match(check(code, borne, ['test/b.test.ts', '`C03: ab ${x}`'])[0] ?? '', /C03 is called/)
  assert.match(check(code, borne, ['test/b.test.ts', "'C01: '"])[0] ?? '', /without a claim/)
  assert.match(check(borne)[0] ?? '', /C02 names src\/a\.ts/)
})

test('abuse page: comments, code and other files bear nothing; vectors do', () => {
  const bearers = findBearers(
    new Map([
      ['src/a.test.ts', '// "C01: it holds"\n * "C01: it holds"\nconst C01 = 1\n'],
      ['src/a.ts', "'C01: it holds'"],
      ['docs/a.md', "'C01: it holds'"],
      ['spec/vectors/a.json', '{ "name": "C01: it holds" }'],
    ]),
  )
  assert.deepEqual([...bearers.keys()], ['C01'])
  assert.deepEqual(bearers.get('C01'), [{ path: 'spec/vectors/a.json', title: 'C01: it holds' }])
})

test('abuse page: a string that never was the name of a test is found', () => {
  assert.deepEqual(checkBorne(groups, 'x: C01 L2: it holds\nother\n'), [])
  assert.equal(checkBorne(groups, 'C011 and xC01\n').length, 1)
})

test('abuse page: each class has a row, and each that is tested its tests', async () => {
  const page = await formatPage(groups, findBearers(new Map([code, borne])))
  assert.match(page, /^3 classes: 1 tested, 1 impossible by construction, 1 not yet covered/m)
  assert.match(page, /^\| C01 +\| first +\| \[tested\]\(#c01\), 1/m)
  assert.match(page, /^### C01\n\n- \[src\/a\.test\.ts\]\(.*\)\n {2}- `C01: it holds`$/m)
})
