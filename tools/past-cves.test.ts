import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AbuseGroup } from './abuse-classes.ts'
import { checkPastCves, pastCves } from './past-cves.ts'

const groups: readonly AbuseGroup[] = [
  {
    name: 'One',
    classes: [
      { id: 'C01', name: 'first', state: { kind: 'tested' } },
      { id: 'C02', name: 'second', state: { kind: 'not yet', what: 'parts', issue: 7 } },
    ],
  },
]
const bearers = new Map([['C01', [{ path: 'src/a.test.ts', title: 'C01: it holds' }]]])
const check = (here: string, source = 'S, N'): readonly string[] => {
  const page = `# Page\n\n| CVE-2000-0001 | what C77 | ${here} | ${source} |\n`
  const files: [string, string][] = [
    [pastCves, page],
    ['src/a.test.ts', "test('SU-001: it holds', () => {})\n"],
    ['native/x.c', 'static void submit(void) {}\n'],
  ]
  return checkPastCves(groups, bearers, new Map(files))
}

const good = [
  'C01',
  'C01; C02 comes with parts',
  'SU-001',
  'n/a: no password',
  '`native/x.c`, `submit`',
  '`a.test.ts`, “it holds”',
  '`LANG` is kept',
]
for (const here of good) {
  test(`past CVEs: ${here}: is true`, () => assert.deepEqual(check(here), []))
}

const wrong: readonly (readonly [here: string, says: RegExp, source?: string])[] = [
  ['C99', /:3: C99 is no class/],
  ['C02', /no test bears C02/],
  ['C01 comes with parts', /bears C01 already/],
  ['C01, SU-999', /no test bears SU-999/],
  ['`test/no-such.test.ts`', /no test\/no-such\.test\.ts/],
  ['`no-such.test.ts`', /no no-such\.test\.ts/],
  ['`native/y.c`, `submit`', /no native\/y\.c/],
  ['`native/x.c`, `gone`', /no file of its row has gone/],
  ['`src/a.test.ts`, “it is gone”', /no file of its row has it is gone/],
  ['', /nothing is said/],
  ['C01', /M is no source/, 'M'],
  ['C01', /S, number M is no source/, 'S, number M'],
]
for (const [here, says, source] of wrong) {
  test(`past CVEs: ${here || 'nothing'}${source === undefined ? '' : ` by ${source}`}: is found`, () => {
    assert.match(check(here, source)[0] ?? '', says)
  })
}

test('past CVEs: a page without rows is found', () => {
  assert.match(checkPastCves(groups, bearers, new Map([[pastCves, 'x']]))[0] ?? '', /no rows/)
})
