import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseTomlTree } from '../../host/toml-tree.ts'
import { compilePolicy } from './compile.ts'
import { formatCompiledPolicy, policyDigest } from './compiled.ts'
import { parseCompiledPolicy } from './compiled-parse.ts'
import { compileText, fullPolicy, policyOf, problemsOf, testFacts } from './policy.test-support.ts'

type Vectors = Readonly<{
  policy: string
  cases: readonly Readonly<{
    name: string
    replace: string
    by: string
    problems: readonly string[]
  }>[]
}>
const { policy: small, cases }: Vectors = JSON.parse(
  readFileSync(new URL('../../../spec/vectors/policy-problems.json', import.meta.url), 'utf8'),
)

for (const { name, replace, by, problems } of cases) {
  test(`compile: ${name}: ${problems.join(', ')}`, () => {
    assert.ok(small.includes(replace), replace)
    const found = problemsOf(small.replace(replace, () => by)).map((line) =>
      line.replace(/^0\.toml:(\d+:\d+): error: .*\[(\w+)\]$/s, '$1 $2'),
    )
    assert.deepEqual(found, problems)
  })
}

test('compile: the policy of the vectors has no problem', () => {
  assert.equal(compileText(small).kind, 'compiled')
})

test('compile: grants that are no tables', () => {
  assert.deepEqual(problemsOf('schema = 1\ngrant = [1]\n'), [
    '0.toml:2:10: error: expected a table, not an integer [type_wrong]',
  ])
})

test('compile: what several files define is one policy; the same name twice is an error with both places', () => {
  const [actions = '', rest = ''] = small.split(/^(?=\[profile\.p\])/m)
  const second = `schema = 1\n${rest}`
  assert.deepEqual(policyOf(actions, second), policyOf(small))
  assert.deepEqual(policyOf(second, actions), policyOf(small))
  assert.deepEqual(problemsOf(small, second), [
    '1.toml:2:10: error: "p" is already defined in "0.toml", line 9 [duplicate]',
    '1.toml:3:10: error: "input" is already defined in "0.toml", line 10 [duplicate]',
    '1.toml:8:12: error: "oncall" is already defined in "0.toml", line 15 [duplicate]',
  ])
})

test('compile: each file says its schema, and one of another version hides only itself', () => {
  assert.deepEqual(problemsOf(small, 'schema = 2\nnonsense = 1\n[action.z]\n'), [
    '1.toml:1:10: error: expected `schema = 1` in each file [schema_unsupported]',
    '1.toml:2:1: error: unknown key "nonsense" [key_unknown]',
  ])
})

test('compile: a plan that cannot be made is a problem of its profile; a bug is none of the policy', () => {
  const named = (name: string): string => small.replaceAll(/profile\.p\b/g, `profile.${name}`)
  const planless = named('planless').replace('profile = "p"', 'profile = "planless"')
  assert.deepEqual(problemsOf(planless), ['0.toml:9:10: error: no plan for this [plan_invalid]'])
  const broken = named('broken').replace('profile = "p"', 'profile = "broken"')
  assert.throws(() => compileText(broken), TypeError)
})

test('compile: the same grant twice is one grant, and the same principal twice one principal', () => {
  const grant = '[[grant]]\nwho = ["uid:1000", "uid:1000", "unit:a.service"]\nmay = ["x"]\n'
  assert.equal(policyOf(small + grant + grant).grants.length, 2)
  assert.equal(policyOf(small + grant).grants.flatMap(({ who }) => who).length, 3)
})

test('compile: the place of a grant is that of its first table, and no part of the policy', () => {
  const grant = '[[grant]]\nwho = ["uid:7"]\nmay = ["x"]\n'
  const result = compileText(small, `schema = 1\n${grant}\n${grant}`)
  assert.equal(result.kind, 'compiled')
  assert.deepEqual(
    [...result.grantPlaces.keys()].sort(),
    result.policy.grants.map(({ id }) => id),
  )
  const [seven] = result.policy.grants.filter(({ who }) =>
    who.some((one) => 'id' in one && one.id === 7),
  )
  assert.deepEqual(result.grantPlaces.get(seven?.id ?? ''), { file: '1.toml', line: 2, column: 1 })
  assert.doesNotMatch(formatCompiledPolicy(result.policy), /toml/)
})

test('compile: what was probably meant: also where only a part of a word is wrong', () => {
  const rows: readonly (readonly [from: string, to: string, meant: string | undefined])[] = [
    ['"uid:1000"', '"unti:deploy.service"', 'unit:deploy.service'],
    ['"uid:1000"', '"usr:ci"', 'user:ci'],
    ['"uid:1000"', '"ci"', undefined],
    ['"key:a"', '"kay:a"', 'key:a'],
    ['may = ["x"]', 'may = ["x"]\nlimit = { rate = "10/mn" }', '10/min'],
    ['may = ["x"]', 'may = ["x"]\nlimit = { rate = "10/x" }', undefined],
    ['[profile.p]', '[profile.p]\noutput = "recroded"', 'recorded'],
  ]
  for (const [from, to, meant] of rows) {
    assert.ok(small.includes(from), from)
    const [problem = ''] = problemsOf(small.replace(from, () => to))
    assert.equal(/did you mean "(.*?)"/.exec(problem)?.[1], meant, problem)
  }
})

test('compile: a program that cannot be read hides nothing else of its command', () => {
  const command = /^command = .*$/m
  assert.match(small, command)
  const found = problemsOf(small.replace(command, 'command = [7, "{nmae}"]')).join('\n')
  assert.match(found, /:4:12: .*\[type_wrong\]/)
  assert.match(found, /\{nmae\}.*\[parameter_undeclared\]/)
})

test('compile: what is wrong with a profile is said once, however many actions have it', () => {
  const more = small.replace('[profile.p]', '[profile.p]\nnetwork = "wide"')
  const action = small.match(/^\[action\.x\]\n(?:.+\n)*?(?=\[)/m)?.[0] ?? ''
  assert.match(action, /profile = "p"/)
  const again = `schema = 1\n${action.replace('[action.x]', '[action.z]')}`.replace(
    /, "\{.*?\}"/g,
    '',
  )
  const found = problemsOf(more, again).filter(
    (line) => line.includes('network') || line.includes('wide'),
  )
  assert.equal(found.length, 1)
})

test('compile: promise 6: a path of every sandbox that others may write is a problem of each profile', () => {
  const resolvePath: typeof testFacts.resolvePath = (path, use) =>
    path === '/usr'
      ? { kind: 'refused', code: 'path_unsafe', message: '"/usr" is writable by others' }
      : testFacts.resolvePath(path, use)
  const tree = parseTomlTree('p.toml', 'schema = 1\n[profile.p]\n')
  const result = compilePolicy([tree], { ...testFacts, resolvePath })
  assert.equal(result.kind, 'invalid')
  assert.deepEqual(
    result.problems.map(({ code, line, column }) => [code, line, column]),
    [['path_unsafe', 2, 10]],
  )
})

/** Blocks of tables that stand in any order: each begins with a header that is not part of the one before. */
function blocksOf(policy: string): readonly string[] {
  return policy.split(/^(?=\[(?!action\."app\.restart"\.params\]))/m)
}

/** A block with the keys of its first table in another order. */
function shuffleKeys(block: string, order: readonly number[]): string {
  const [header = '', ...lines] = block.trimEnd().split('\n')
  const inner = lines.findIndex((line) => line.startsWith('['))
  const own = lines.slice(0, inner < 0 ? lines.length : inner)
  const rest = inner < 0 ? [] : lines.slice(inner)
  const sorted = own
    .map((line, index) => ({ line, at: order[index % order.length] ?? 0 }))
    .toSorted((a, b) => a.at - b.at)
  return [header, ...sorted.map(({ line }) => line), ...rest, ''].join('\n')
}

test('compile: C11: order of tables, keys, grants and files, comments and blanks change no byte', () => {
  const [head = '', ...blocks] = blocksOf(fullPolicy)
  const want = formatCompiledPolicy(policyOf(fullPolicy))
  fc.assert(
    fc.property(
      fc.shuffledSubarray(blocks, { minLength: blocks.length }),
      fc.array(fc.nat(), { minLength: 1, maxLength: 12 }),
      fc.integer({ min: 0, max: blocks.length }),
      fc.constantFrom('', '# a comment\n', '\n\n', '   # "quoted" [brackets]\n'),
      (shuffled, order, cut, filler) => {
        const texts = shuffled.map((block) => filler + shuffleKeys(block, order))
        const one = head + texts.slice(0, cut).join(filler)
        const two = head + texts.slice(cut).join(filler)
        assert.equal(formatCompiledPolicy(policyOf(one, two)), want)
        assert.equal(formatCompiledPolicy(policyOf(two, one)), want)
      },
    ),
    { numRuns: 40 },
  )
})

test('compile: parse(format(p)) = p, and the digest is that of the text', () => {
  const policy = policyOf(fullPolicy)
  const text = formatCompiledPolicy(policy)
  const parsed = parseCompiledPolicy(text)
  assert.equal(formatCompiledPolicy(parsed), text)
  assert.deepEqual(parsed.grants, policy.grants)
  assert.equal(policyDigest(parsed), policyDigest(policy))
})

test('compile: paths are real ones, and the links on the way come along', () => {
  const [action] = policyOf(fullPolicy).actions
  const [app] = policyOf(fullPolicy).profiles
  assert.equal(action?.executable, '/usr/bin/true')
  assert.deepEqual(action.command[0], { kind: 'literal', text: '/bin/true' })
  assert.deepEqual(
    app?.links.map(({ path }) => path),
    ['/bin', '/lib'],
  )
})

test('compile: a tree whose root is no table is an error, not a crash', () => {
  const { kind, file, line, column } = parseTomlTree('a.toml', 'schema = 1\n')
  assert.equal(kind, 'table')
  const result = compilePolicy([{ kind: 'string', value: 'x', file, line, column }], testFacts)
  assert.equal(result.kind, 'invalid')
})
