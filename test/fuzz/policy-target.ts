/**
 * TOML into the compiler. Nothing is thrown, every problem has a place inside the text, and what compiles can be loaded:
 * the same text, the same digest, an index.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { compilePolicy } from '../../src/core/policy/compile.ts'
import type { CompileFacts } from '../../src/core/policy/compile-facts.ts'
import { formatCompiledPolicy, policyDigest } from '../../src/core/policy/compiled.ts'
import { parseCompiledPolicy } from '../../src/core/policy/compiled-parse.ts'
import { indexPolicy } from '../../src/core/policy/policy-index.ts'
import { fullPolicy, testFacts } from '../../src/core/policy/policy.test-support.ts'
import { formatPolicyProblem } from '../../src/core/toml/problem.ts'
import { planForProfile } from '../../src/core/sandbox/plan-for-profile.ts'
import { formatPlan } from '../../src/core/sandbox/plan.ts'
import { readTomlTree } from '../../src/host/toml-tree.ts'
import { checkout } from './seeds.ts'
import type { Target } from './target.ts'

/** The made-up host of the unit tests, but for plans, which are real, and made once for each profile. */
function openFacts(): CompileFacts {
  const plans = new Map<string, Uint8Array>()
  return {
    ...testFacts,
    compilePlan: (profile) => {
      const key = JSON.stringify(profile)
      const plan = plans.get(key) ?? formatPlan(planForProfile(profile, { architecture: 'x86_64' }))
      plans.set(key, plan)
      return plan
    },
  }
}

type Vectors = Readonly<{
  policy: string
  cases: readonly Readonly<{ replace: string; by: string }>[]
}>

/** Policies that compile. */
export function policySeeds(): readonly string[] {
  const small = readFileSync(`${checkout}/test/cli/policy.toml`, 'utf8')
  return [widest, fullPolicy, small.replaceAll(/"\/usr\/s?bin\/\w+"/g, '"/usr/bin/true"')]
}

/** Numbers at their bounds. */
const widest = `schema = 1
[action.x]
about = "x"
command = ["/usr/bin/true", "{n}", "{m}"]
run_as = "root"
profile = "p"
risk = "irreversible"
approval = { need = 16, from = "oncall", within = "24h" }
[action.x.params]
n = { integer = { min = 0, max = 9007199254740991 } }
m = { match = "a{255}", max_length = 255, repeat = { min = 1, max = 63 } }
[profile.p]
tcp_connect = [65535]
network = "host"
limits = { time = "24h", memory = "64G", processes = 4096 }
[[grant]]
who = ["uid:4294967294"]
may = ["x"]
uses = 1000000000
limit = { rate = "1000000/s", burst = 10000 }
[approvers.oncall]
members = ["key:a"]
`

/** One for each thing that can be wrong with a policy. */
function wrongSeeds(): readonly string[] {
  const file = new URL('../../spec/vectors/policy-problems.json', import.meta.url)
  const { policy, cases }: Vectors = JSON.parse(readFileSync(file, 'utf8'))
  return [policy, ...cases.map(({ replace, by }) => policy.replace(replace, () => by))]
}

export function policyTarget(): Target {
  const facts = openFacts()
  const seeds = [...policySeeds(), ...wrongSeeds()]
  const words = new Set(seeds.flatMap((text) => text.match(/[\w".\-:/]+/g) ?? []))
  return {
    seeds,
    words: [
      ...words,
      ...[
        '[',
        ']',
        '{',
        '}',
        '=',
        '[[',
        ']]',
        '"',
        "'",
        '"""',
        '#',
        '\n',
        '\\u0000',
        '\\u202e',
        ',',
      ],
      ...[
        'true',
        'nan',
        '1979-05-27',
        '0x10',
        '__proto__ = 1\n',
        '[grant]\n',
        '[[action]]\n',
        'repeat',
      ],
      ...['"{p}"', '"{{"', 'secret = true\n', 'uses = 1\n', '""', '[]', '{}', '"*"', '"a\\u0301"'],
    ],
    run: (input) => run(input, facts),
  }
}

function run(input: string, facts: CompileFacts): void {
  const reading = readTomlTree('p.toml', input)
  if (reading.kind === 'invalid') return checkPlace(input, reading.problem)
  const result = compilePolicy([reading.tree], facts)
  if (result.kind === 'invalid') {
    assert.ok(result.problems.length > 0, 'invalid without a problem')
    for (const problem of result.problems) checkPlace(input, problem)
    return
  }
  for (const warning of result.warnings) checkPlace(input, warning)
  const text = formatCompiledPolicy(result.policy)
  const loaded = parseCompiledPolicy(text)
  assert.equal(formatCompiledPolicy(loaded), text)
  assert.equal(policyDigest(loaded), policyDigest(result.policy))
  assert.equal(indexPolicy(loaded).actions.size, loaded.actions.length)
}

type Placed = Readonly<{ file: string; line: number; column: number; message: string }>

function checkPlace(input: string, placed: Placed): void {
  const { file, line, column, message } = placed
  const shown = `${file}:${line}:${column}: ${message}`
  // An error at the end stands on the place behind the last character, as compilers have it.
  const text = input.replace(/^\ufeff/, '').split(/\r\n|\n/)[line - 1]
  assert.ok(file === 'p.toml' && text !== undefined, `not inside the file: ${shown}`)
  assert.ok(column >= 1 && column <= text.length + 1, `not inside the line: ${shown}`)
  const problem = { ...placed, code: 'value_invalid' } as const
  assert.ok(
    !/[\p{Cc}\u202a-\u202e]/u.test(formatPolicyProblem(problem)),
    'C60: a control character',
  )
}
