import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import {
  compareProblems,
  formatPolicyProblem,
  formatPolicyWarning,
  policyProblemCodes,
  policyWarningCodes,
  quote,
} from './problem.ts'
import type { PolicyProblem } from './problem.ts'
import { suggestionFor } from './suggestion.ts'

const problem: PolicyProblem = {
  file: 'a.toml',
  line: 2,
  column: 3,
  code: 'key_unknown',
  message: 'unknown key "abuot"',
}

test('policy problems: a line is as compilers print it', () => {
  assert.equal(formatPolicyProblem(problem), 'a.toml:2:3: error: unknown key "abuot" [key_unknown]')
  assert.equal(
    formatPolicyProblem({ ...problem, suggestion: 'about' }),
    'a.toml:2:3: error: unknown key "abuot" (did you mean "about"?) [key_unknown]',
  )
})

test('policy problems: the order is by file, line and column', () => {
  const list = [
    { ...problem, file: 'b.toml', line: 1 },
    { ...problem, line: 10 },
    { ...problem, column: 4 },
    problem,
  ]
  assert.deepEqual(list.toSorted(compareProblems), list.toReversed())
})

test('policy problems: C60: what an author wrote cannot steer a terminal', () => {
  assert.equal(
    quote('a\u001b[2J\u009b\u202e\u2066\ufeff\u0085é'),
    '"a\\u001b[2J\\u009b\\u202e\\u2066\\ufeff\\u0085é"',
  )
})

test('policy problems: C60: nor can the name of a file, or make a line of its own', () => {
  const file = '\u001b[2J\n\u202ea.toml'
  assert.match(
    formatPolicyProblem({ ...problem, file }),
    /^\\u001b\[2J\\u000a\\u202ea\.toml:2:3: error/,
  )
  const warning = { ...problem, file, code: 'socket_absent' } as const
  assert.match(formatPolicyWarning(warning), /^\\u001b\[2J\\u000a\\u202ea\.toml:2:3: warning/)
})

test('policy problems: the reference has a row for each code, and no other', () => {
  const page = readFileSync(new URL('../../../docs/reference/policy.md', import.meta.url), 'utf8')
  const [, errors = ''] = page.split('\n## Errors\n')
  const rows = [...errors.matchAll(/^\| `([a-z_]+)` +\| .{10}/gm)].map(([, code]) => code)
  assert.deepEqual(rows.toSorted(), [...policyProblemCodes, ...policyWarningCodes].toSorted())
})

const suggestions: readonly (readonly [word: string, want: string | undefined])[] = [
  ['abuot', 'about'],
  ['comand', 'command'],
  ['commandd', 'command'],
  ['profle', 'profile'],
  ['rnu_sa', 'run_as'],
  ['cwb', 'cwd'],
  ['xyz', undefined],
  ['completely_else', undefined],
  ['', undefined],
]
for (const [word, want] of suggestions) {
  test(`suggestions: ${JSON.stringify(word)} was ${JSON.stringify(want)}`, () => {
    assert.equal(suggestionFor(word, ['about', 'command', 'run_as', 'profile', 'cwd']), want)
  })
}
