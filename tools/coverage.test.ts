import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkCoverage, parseLcov } from './coverage.ts'

const full = 'DA:1,1\nDA:2,4\nFN:1,f\nFNDA:3,f\nBRDA:1,0,0,1\n'
const lcov = `TN:\nSF:src/core/a.ts\n${full}end_of_record\nTN:\nSF:src/cli/b.ts\n${full}end_of_record\n`
const sources = ['src/core/a.ts', 'src/cli/b.ts']

const cases: readonly {
  name: string
  lcov: string
  gate: 'core' | 'all'
  want: readonly RegExp[]
}[] = [
  { name: 'all of everything passes', lcov, gate: 'all', want: [] },
  {
    name: 'one line of core is one too many',
    lcov: lcov
      .replace('DA:2,4', 'DA:2,0\nDA:3,0\nDA:5,0')
      .replace('DA:2,4', `DA:2,4\n${'DA:9,1\n'.repeat(40)}`),
    gate: 'all',
    want: [/src\/core\/a\.ts: lines that no test ran: 2-3, 5/],
  },
  {
    name: 'so is a function, or a branch',
    lcov: lcov.replace('FNDA:3,f\nBRDA:1,0,0,1', 'FNDA:0,f\nBRDA:1,0,0,-'),
    gate: 'core',
    want: [/functions that no test ran: 1/, /branches that no test ran: 1/],
  },
  {
    name: 'a file that no test loaded is not a file that is covered',
    lcov: lcov.replaceAll('src/cli/b.ts', 'src/cli/c.ts'),
    gate: 'all',
    want: [/src\/cli\/b\.ts: no test loaded it/],
  },
  {
    name: 'an empty report fails on every count',
    lcov: '',
    gate: 'all',
    want: [/no test loaded/, /no test loaded/, /^lines .* 0\.00/, /^functions/, /^branches/],
  },
  {
    name: 'outside of core 90 % will do',
    lcov: lcov.replace(/(b\.ts\n)DA:1,1/, `$1${'DA:1,1\n'.repeat(8)}DA:3,0`),
    gate: 'all',
    want: [],
  },
  {
    name: 'and 89 % will not',
    lcov: lcov.replace(/(b\.ts\n)DA:1,1/, `$1${'DA:3,0\n'.repeat(2)}`),
    gate: 'all',
    want: [/^lines of src: 60\.00 %/],
  },
  {
    name: 'after unit tests only core is judged',
    lcov: lcov.replaceAll('src/cli/b.ts', 'src/cli/c.ts'),
    gate: 'core',
    want: [],
  },
]

for (const { name, lcov: report, gate, want } of cases) {
  test(`coverage: ${name}`, () => {
    const problems = checkCoverage(parseLcov(report), sources, gate)
    assert.equal(problems.length, want.length, problems.join('\n'))
    want.forEach((pattern, at) => {
      assert.match(problems[at] ?? '', pattern)
    })
  })
}
