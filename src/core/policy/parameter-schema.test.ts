import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { compileMatch } from './automaton.ts'
import type { CompiledAction, CompiledParameter } from './compiled.ts'
import { decide } from './decide.ts'
import { ecmaPatternOf } from './ecma-pattern.ts'
import { schemaOfParameters } from './parameter-schema.ts'
import { isCleanPath } from '../identity.ts'
import { isPathBelow } from './granted-path.ts'
import { indexPolicy } from './policy-index.ts'
import { anyPattern } from './pattern.test-support.ts'
import { factsAt, policyOf, subjectOf } from './policy.test-support.ts'

// Names like `constructor` are on each object; what counts is what the value has itself.
const ajv = new Ajv2020({ strict: true, ownProperties: true })

const policy = policyOf(`schema = 1
[profile.plain]
[action.all]
about = "Every kind of parameter"
command = ["/usr/bin/true", "{word}", "{dash}", "{n}", "{low}", "{text}", "{path}", "{v}", "{constructor}", "{many}", "{numbers}"]
run_as = "root"
profile = "plain"
[action.all.params]
word = { one_of = ["a", "b", "é", "7"] }
dash = { one_of = ["-a", "b"], leading_dash = true }
n = { integer = { min = 0, max = 12 } }
low = { integer = { min = -3, max = 3 }, leading_dash = true }
text = { match = "[^a]*|-b", max_length = 3 }
path = { match = ".+", slash = true, space = true, leading_dash = true, max_length = 2 }
v = { flag = "-v" }
constructor = { match = "[a-c-]+" }
many = { one_of = ["x", "y"], repeat = { min = 0, max = 2 } }
numbers = { integer = { min = 1, max = 3 }, repeat = { min = 1, max = 3 } }
[action.none]
about = "No parameter"
command = ["/usr/bin/true"]
run_as = "root"
profile = "plain"
[action.login]
about = "A secret"
command = ["/usr/bin/true", "{password}"]
run_as = "root"
profile = "plain"
params.password = { secret = true }
[[grant]]
who = ["uid:0"]
may = ["all", "none", "login"]
`)
const index = indexPolicy(policy)

function actionOf(id: string): CompiledAction {
  const action = policy.actions.find((candidate) => candidate.id === id)
  assert.ok(action !== undefined)
  return action
}

type Scalar = string | number | boolean
type Given = Readonly<Record<string, Scalar | readonly Scalar[]>>

/** As the reference says that JSON becomes values of a request. */
function isPermitted(action: string, given: Given): boolean {
  const parameters = Object.entries(given).flatMap(([name, value]) =>
    [value].flat().map((one) => ({ name, value: String(one) })),
  )
  const request = { action, reason: '', nonce: null, parameters }
  return decide(index, subjectOf(0), request, factsAt(0)).kind === 'permit'
}

const right: Given = {
  ...{ word: 'a', dash: '-a', n: 7, low: -1, text: 'b', path: '/ ', v: true },
  ...{ constructor: 'abc', many: ['x'], numbers: [1, 3] },
}
const texts = fc.oneof(
  fc.constantFrom('a', 'b', 'é', '7', '-a', '-b', '', '/', 'b ', '-', 'abc', 'a-', 'bbbb', '😀😀'),
  fc.string({ unit: 'binary', maxLength: 3 }),
)
const numbers = fc.oneof(fc.integer({ min: -5, max: 14 }), fc.integer())
/** Right and wrong values of the type that each schema wants: a type that is wrong has no value on the wire. */
const values: Readonly<Record<string, fc.Arbitrary<Scalar | readonly Scalar[]>>> = {
  ...{ word: texts, dash: texts, n: numbers, low: numbers, text: texts, path: texts },
  ...{ v: fc.boolean(), constructor: texts },
  many: fc.array(fc.constantFrom('x', 'y', 'z'), { maxLength: 3 }),
  numbers: fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
}

test('parameter schema: ajv and decide accept the same values', () => {
  const accepts = ajv.compile(schemaOfParameters(actionOf('all')))
  const seen = { accepted: 0, refused: 0 }
  const change = fc
    .constantFrom(...Object.keys(values))
    .chain((name) => (values[name] ?? fc.constant('')).map((value): Given => ({ [name]: value })))
  fc.assert(
    fc.property(change, fc.option(fc.constantFrom(...Object.keys(right))), (changed, without) => {
      const given = Object.fromEntries(
        Object.entries({ ...right, ...changed }).filter(([name]) => name !== without),
      )
      const wanted = isPermitted('all', given)
      seen[wanted ? 'accepted' : 'refused'] += 1
      assert.equal(accepts(given), wanted, JSON.stringify(given))
    }),
    { numRuns: 3000 },
  )
  assert.ok(isPermitted('all', right) && accepts(right))
  assert.ok(Math.min(seen.accepted, seen.refused) > 300, JSON.stringify(seen))
})

test('parameter schema: a parameter that is unknown, or lacks, is refused by both', () => {
  const accepts = ajv.compile(schemaOfParameters(actionOf('all')))
  for (const name of Object.keys(right)) {
    const { [name]: left, ...rest } = right
    assert.equal(accepts(rest), isPermitted('all', rest), name)
    assert.equal(accepts(rest), name === 'v' || name === 'many', `${name} ${String(left)}`)
  }
  for (const given of [
    { ...right, more: 'a' },
    { ...right, tostring: 'a' },
  ]) {
    assert.ok(!accepts(given) && !isPermitted('all', given))
  }
  const none = ajv.compile(schemaOfParameters(actionOf('none')))
  assert.ok(none({}) && isPermitted('none', {}))
  assert.ok(!none({ a: 'a' }) && !isPermitted('none', { a: 'a' }))
})

test('parameter schema: a value of another type is refused: nothing is guessed', () => {
  const accepts = ajv.compile(schemaOfParameters(actionOf('all')))
  const wrong: readonly Given[] = [
    { n: '7' },
    { word: 7 },
    { v: 'true' },
    { many: 'x' },
    { n: 1.5 },
  ]
  for (const value of wrong) assert.ok(!accepts({ ...right, ...value }), JSON.stringify(value))
})

test('parameter schema: a secret is a text that is written and never read, and required', () => {
  const schema = schemaOfParameters(actionOf('login'))
  const description = 'a secret by descriptor: bell NAME@FILE'
  assert.deepEqual(schema['properties'], {
    password: { type: 'string', writeOnly: true, description },
  })
  assert.deepEqual(schema['required'], ['password'])
  const accepts = ajv.compile(schema)
  assert.ok(accepts({ password: 'hunter2' }) && !accepts({ password: 1 }) && !accepts({}))
})

test('parameter schema: each kind has its words', () => {
  const { properties, ...rest } = schemaOfParameters(actionOf('all'))
  assert.deepEqual(rest, {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    required: ['constructor', 'dash', 'low', 'n', 'numbers', 'path', 'text', 'word'],
    additionalProperties: false,
  })
  const of = (name: string): unknown =>
    Object.entries(properties ?? {}).find(([n]) => n === name)?.[1]
  assert.deepEqual(of('word'), {
    ...{ type: 'string', enum: ['7', 'a', 'b', 'é'], description: 'one of: 7, a, b, é' },
  })
  assert.deepEqual(of('low'), {
    ...{ type: 'integer', minimum: -3, maximum: 3, description: 'an integer from -3 to 3' },
  })
  assert.deepEqual(of('v'), { type: 'boolean', description: 'true or false' })
  assert.deepEqual(of('constructor'), {
    ...{ type: 'string', maxLength: 128, pattern: '^(?!-)(?:[\\-a-c]{1,})$' },
    description: 'text of the form [a-c-]+, at most 128 characters, not beginning with "-"',
  })
  assert.deepEqual(of('numbers'), {
    type: 'array',
    items: { type: 'integer', minimum: 1, maximum: 3, description: 'an integer from 1 to 3' },
    ...{ minItems: 1, maxItems: 3 },
  })
})

test('parameter schema: what an installed policy could say that no compiler writes is refused all the same', () => {
  const params: readonly CompiledParameter[] = [
    { name: 'w', kind: 'one_of', values: ['-a', 'b'], leading_dash: false, repeat: null },
    { name: 'n', kind: 'integer', min: -4, max: 4, leading_dash: false, repeat: null },
  ]
  const accepts = ajv.compile(schemaOfParameters({ ...actionOf('none'), params }))
  assert.ok(accepts({ w: 'b', n: 0 }))
  assert.ok(!accepts({ w: '-a', n: 0 }))
  assert.ok(!accepts({ w: 'b', n: -1 }))
})

test('parameter schema: C31: a path that ajv accepts is one that decide takes', () => {
  const root = '/srv'
  assert.ok(isCleanPath(root))
  const rest = {
    what: 'file',
    access: 'read',
    hard_links: false,
    content: 'live',
    leading_dash: false,
  } as const
  const params = [{ name: 'p', kind: 'path', root, repeat: null, ...rest }] as const
  const accepts = ajv.compile(schemaOfParameters({ ...actionOf('none'), params }))
  const part = fc.constantFrom(
    'a',
    '.',
    '..',
    '...',
    '',
    '-',
    '.a',
    'a b',
    'é',
    '\u00ad',
    '\n',
    'x'.repeat(9),
  )
  const seen = { accepted: 0, refused: 0 }
  fc.assert(
    fc.property(fc.array(part, { maxLength: 18 }), (parts) => {
      const p = parts.join('/')
      seen[isPathBelow(p) ? 'accepted' : 'refused'] += 1
      assert.equal(accepts({ p }), isPathBelow(p), JSON.stringify(p))
    }),
    { numRuns: 2000 },
  )
  const sound = (size: number): string => Array.from({ length: size }, () => 'a').join('/')
  for (const size of [1, 2, 15, 16, 17]) {
    assert.equal(accepts({ p: sound(size) }), isPathBelow(sound(size)), String(size))
  }
  assert.ok(seen.refused > 300, JSON.stringify(seen))
})

test('ecma pattern: any pattern accepts the same texts as its table', () => {
  const unit = fc.constantFrom(
    ...[
      'a',
      'b',
      'c',
      '0',
      '-',
      '.',
      'é',
      '😀',
      '/',
      ' ',
      '\\',
      ']',
      '_',
      '\n',
      '\u00ad',
      '\ufe0f',
      '\ud800',
    ],
  )
  const lines = fc.array(fc.string({ unit, maxLength: 6 }), { minLength: 8, maxLength: 8 })
  let [accepted, published] = [0, 0]
  fc.assert(
    fc.property(anyPattern, lines, fc.boolean(), fc.boolean(), fc.boolean(), (...given) => {
      const [pattern, candidates, slash, space, leading_dash] = given
      const compiled = compileMatch(pattern, { slash, space })
      if (compiled.kind === 'invalid') return
      const { table } = compiled
      const common = { name: 'p', kind: 'match', repeat: null, max_length: 6 } as const
      const params = [{ ...common, leading_dash, pattern, table }]
      const made = ecmaPatternOf({ ...common, leading_dash, pattern, table })
      if (made === null) return // it would be too long
      published += 1
      const yes = new RegExp(made.pattern, 'u')
      const no = made.never === null ? null : new RegExp(made.never, 'u')
      const one = indexPolicy({
        ...policy,
        actions: [{ ...actionOf('none'), id: 'all', params }],
        grants: policy.grants.map((grant) => ({ ...grant, may: ['all'] })),
      })
      const test = one.actions.get('all')?.parameters.get('p')
      for (const value of candidates) {
        const wanted = test?.accepts(value) === true
        if (wanted) accepted += 1
        const length = Array.from(value).length
        const found = yes.test(value) && no?.test(value) !== true && length <= 6
        assert.equal(found, wanted, `${pattern} as ${made.pattern} on ${JSON.stringify(value)}`)
      }
    }),
    { numRuns: 600 },
  )
  assert.ok(accepted > 100, `only ${accepted} values were accepted at all`)
  assert.ok(published > 200, `only ${published} patterns were not too long`)
})

test('ecma pattern: C109: no text makes an engine that tries again take long', () => {
  const common = { name: 'p', kind: 'match', repeat: null, max_length: 64 } as const
  const slow = [
    '(a+)+',
    '(a|a)*',
    '(a*)*',
    '(a|aa)+',
    'a*a*a*a*a*',
    '(.*a)*',
    '((a?){0,9}){0,9}',
    '',
  ]
  const unit = fc.constantFrom('a', 'a', 'a', 'b', '-', '.', '/', '0', 'é')
  const longest = { pattern: '', ms: 0 }
  fc.assert(
    fc.property(
      fc.oneof(anyPattern, fc.constantFrom(...slow)),
      fc.string({ unit, minLength: 40, maxLength: 64 }),
      (pattern, text) => {
        const compiled = compileMatch(pattern, { slash: true, space: true })
        if (compiled.kind === 'invalid') return
        const made = ecmaPatternOf({
          ...common,
          leading_dash: true,
          pattern,
          table: compiled.table,
        })
        if (made === null) return
        const expression = new RegExp(made.pattern, 'u')
        const before = process.cpuUsage()
        expression.test(`${text}\n`)
        expression.test(`${'a'.repeat(64)}\n`)
        const ms = process.cpuUsage(before).user / 1000
        if (ms > longest.ms) Object.assign(longest, { pattern: made.pattern, ms })
      },
    ),
    { numRuns: 150 },
  )
  assert.ok(longest.ms < 500, JSON.stringify(longest))
})

test('parameter schema: a pattern that would be too long is left out, and the length is not', () => {
  const pattern = '(a|b)*a(a|b){8}|a*'
  const compiled = compileMatch(pattern, { slash: true, space: true })
  assert.equal(compiled.kind, 'compiled')
  const common = {
    name: 'p',
    kind: 'match',
    repeat: null,
    max_length: 6,
    leading_dash: true,
  } as const
  const params = [{ ...common, pattern, table: compiled.table }]
  const { properties } = schemaOfParameters({ ...actionOf('none'), params })
  const description = `text of the form ${pattern}, at most 6 characters`
  assert.deepEqual(properties, { p: { type: 'string', maxLength: 6, description } })
})

test('ecma pattern: the characters that no value holds are said once, and only where needed', () => {
  const patternOf = (pattern: string, options = { slash: true, space: true }): unknown => {
    const compiled = compileMatch(pattern, options)
    assert.equal(compiled.kind, 'compiled')
    const common = { name: 'p', kind: 'match', repeat: null, max_length: 6 } as const
    return ecmaPatternOf({ ...common, leading_dash: true, pattern, table: compiled.table })
  }
  const rows: readonly (readonly [string, string])[] = [
    ['[a-c]+x?', '^(?:[a-c]{1,}x?)$'],
    ['a|(?:b|c)+|', '^(?:a|(?:b|c){1,}|)$'],
    ['(ab){2,}[\\]\\^\\-]{0,3}', '^(?:(?:ab){2,}[\\-\\]\\^]{0,3})$'],
    ['\\.\\/😀[é-ü]', '^(?:\\.\\/😀[\\u00e9-\\u00fc])$'],
    ['(((a)))b', '^(?:(?:(?:(?:a)))b)$'],
  ]
  for (const [pattern, wanted] of rows) {
    assert.deepEqual(patternOf(pattern), { pattern: wanted, never: null })
  }
  const free = JSON.stringify(patternOf('.*[^a]'))
  assert.match(
    free,
    /^\{"pattern":"\^\(\?:\.\{0,\}\[\^a\]\)\$","never":"\[\\\\u0000-\\\\u001f\\\\u007f/,
  )
  assert.match(
    JSON.stringify(patternOf('\\D', { slash: false, space: false })),
    /\[\^0-9\]\)\$","never":"\[\\\\u0000-\\\\u0020\/\\\\u007f/,
  )
})

test('ecma pattern: nothing of it is ECMAScript alone: Python, for one, refuses a schema with \\u{…} or [^]', () => {
  const texts = policy.actions.map((action) => JSON.stringify(schemaOfParameters(action)))
  assert.match(texts.join(''), /\\u0000/)
  for (const text of texts) assert.doesNotMatch(text, /\\u\{|\[\^\]|\\[pPc]/)
})
