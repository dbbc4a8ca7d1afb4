/** The policy language from TOML to decision, over this host's real facts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compilePolicy } from '../src/core/policy/compile.ts'
import { formatCompiledPolicy } from '../src/core/policy/compiled.ts'
import type { CompiledPolicy } from '../src/core/policy/compiled.ts'
import { parseCompiledPolicy } from '../src/core/policy/compiled-parse.ts'
import { decide } from '../src/core/policy/decide.ts'
import type { Decision } from '../src/core/policy/decide.ts'
import { indexPolicy } from '../src/core/policy/policy-index.ts'
import { formatPolicyProblem } from '../src/core/toml/problem.ts'
import type { PolicyProblem } from '../src/core/toml/problem.ts'
import type { ActionRequest } from '../src/core/protocol/request.ts'
import { isGid, isUid } from '../src/core/identity.ts'
import type { Subject } from '../src/core/identity.ts'
import { readPolicyFacts } from '../src/host/policy-facts.ts'
import { readTomlTree } from '../src/host/toml-tree.ts'

const facts = readPolicyFacts(process.geteuid?.() ?? 0, 'x86_64')
type Outcome = Readonly<{ policy?: CompiledPolicy; problems: readonly PolicyProblem[] }>

function compile(text: string): Outcome {
  const reading = readTomlTree('p.toml', text)
  if (reading.kind === 'invalid') return { problems: [reading.problem].flat() }
  const outcome = compilePolicy([reading.tree], facts)
  return outcome.kind === 'compiled'
    ? { policy: outcome.policy, problems: [] }
    : { problems: outcome.problems }
}

function good(text: string): CompiledPolicy {
  const { policy, problems } = compile(text)
  if (policy === undefined) throw new Error(problems.map(formatPolicyProblem).join('\n'))
  return policy
}

const action = `[action.x]
about = "x"
command = ["/usr/bin/true", "{p}"]
run_as = "root"
profile = "p"
risk = "read-only"
`
const whole = `schema = 1
[profile.p]
${action}[action.x.params.p]
one_of = ["a", "b"]
[[grant]]
who = ["uid:1000", "gid:27", "user:daemon", "group:adm"]
may = ["x"]
`
const replace = (from: string, to: string): string => {
  assert.ok(whole.includes(from), from)
  return whole.replace(from, to)
}

const bad: readonly (readonly [name: string, text: string, says: RegExp])[] = [
  ['no schema', whole.replace('schema = 1\n', ''), /schema/],
  ['another schema', replace('schema = 1', 'schema = 2'), /schema/],
  ['C17: a misspelled key', replace('about', 'abuot'), /about/],
  ['a key of the wrong type', replace('about = "x"', 'about = 7'), /expected a string/],
  ['an action without a command', replace('command = ["/usr/bin/true", "{p}"]\n', ''), /command/],
  ['an empty command', replace('["/usr/bin/true", "{p}"]', '[]'), /program/],
  ['a relative command', replace('/usr/bin/true', 'true'), /absolute|path/i],
  [
    'a command that is not there',
    replace('/usr/bin/true', '/usr/bin/no-such-thing'),
    /no-such-thing|not there|exist/,
  ],
  ['a directory as command', replace('/usr/bin/true', '/usr/bin'), /usr\/bin/],
  ['a placeholder as the program', replace('"/usr/bin/true", ', ''), /.+/],
  ['an unknown placeholder', replace('{p}', '{q}'), /q/],
  ['two placeholders in one element', replace('"{p}"', '"{p}{p}"'), /.+/],
  ['an open brace', replace('"{p}"', '"{p"'), /.+/],
  ['a parameter that is not used', replace(', "{p}"', ''), /p/],
  [
    'a parameter of two kinds',
    replace('one_of = ["a", "b"]', 'one_of = ["a"]\ninteger = { min = 1, max = 2 }'),
    /.+/,
  ],
  ['a parameter of no kind', replace('one_of = ["a", "b"]', ''), /.+/],
  ['an empty one_of', replace('["a", "b"]', '[]'), /.+/],
  ['a value twice', replace('["a", "b"]', '["a", "a"]'), /a/],
  ['a value with a dash', replace('["a", "b"]', '["-a"]'), /dash|-/],
  ['a value with a newline', replace('["a", "b"]', '["a\\nb"]'), /.+/],
  [
    'an integer upside down',
    replace('one_of = ["a", "b"]', 'integer = { min = 2, max = 1 }'),
    /.+/,
  ],
  ['an integer without max', replace('one_of = ["a", "b"]', 'integer = { min = 2 }'), /max/],
  [
    'an integer that is text',
    replace('one_of = ["a", "b"]', 'integer = { min = "0", max = 1 }'),
    /.+/,
  ],
  ['C109: a pattern that is none', replace('one_of = ["a", "b"]', 'match = "(a"'), /.+/],
  ['a pattern with a look-ahead', replace('one_of = ["a", "b"]', 'match = "(?=a)b"'), /.+/],
  [
    'a pattern that is too large',
    replace('one_of = ["a", "b"]', "match = '(a|b)*a(a|b){30}'"),
    /.+/,
  ],
  ['a length that is none', replace('one_of = ["a", "b"]', 'match = "a"\nmax_length = 0'), /.+/],
  [
    'a parameter kind that comes later',
    replace('one_of = ["a", "b"]', 'path = { under = "/srv" }'),
    /.+/,
  ],
  ['repeat comes later', replace('one_of = ["a", "b"]', 'one_of = ["a"]\nrepeat = true'), /.+/],
  ['an unknown risk', replace('"read-only"', '"harmless"'), /risk|harmless/],
  ['an unknown profile', replace('profile = "p"', 'profile = "q"'), /q/],
  [
    'C05: an unknown user to run as',
    replace('run_as = "root"', 'run_as = "no-such-user"'),
    /no-such-user/,
  ],
  [
    'an unknown group to run as',
    replace('run_as = "root"', 'run_as = "root:no-such-group"'),
    /no-such-group/,
  ],
  ['a number to run as that is nobody', replace('run_as = "root"', 'run_as = "4294967295"'), /.+/],
  ['an environment with an equals sign', replace('run_as', 'env = { "A=B" = "x" }\nrun_as'), /.+/],
  ['a variable A-B', replace('run_as', 'env = { A-B = "x" }\nrun_as'), /no name of a var/],
  ['C21: an environment with a newline', replace('run_as', 'env = { A = "x\\ny" }\nrun_as'), /.+/],
  ['an environment that is not text', replace('run_as', 'env = { A = 1 }\nrun_as'), /.+/],
  ['C24: a working directory in /proc', replace('run_as', 'cwd = "/proc/self/fd/3"\nrun_as'), /.+/],
  ['a relative working directory', replace('run_as', 'cwd = "x"\nrun_as'), /.+/],
  ['a pin that is no digest', replace('run_as', 'sha256 = ["abc"]\nrun_as'), /.+/],
  ['a reason that is neither', replace('run_as', 'reason = "maybe"\nrun_as'), /reason|maybe/],
  [
    'an approval of nobody',
    replace('run_as', 'approval = { need = 1, from = "x", within = "10m" }\nrun_as'),
    /x/,
  ],
  [
    'an approval of none',
    replace('run_as', 'approval = { need = 0, from = "x", within = "10m" }\nrun_as'),
    /.+/,
  ],
  [
    'an approval for no time',
    replace('run_as', 'approval = { need = 1, from = "x", within = "soon" }\nrun_as'),
    /.+/,
  ],
  [
    'an action’s name in capitals',
    replace('[action.x]', '[action.X]').replace('[action.x.', '[action.X.'),
    /.+/,
  ],
  ['C16: a name with a slash', replace('may = ["x"]', 'may = ["x/../y"]'), /.+/],
  ['a grant of nothing', replace('may = ["x"]', 'may = []'), /.+/],
  [
    'a grant to nobody',
    replace('who = ["uid:1000", "gid:27", "user:daemon", "group:adm"]', 'who = []'),
    /.+/,
  ],
  ['a grant of an action that is not there', replace('may = ["x"]', 'may = ["y"]'), /y/],
  ...[
    'uid:-1',
    'uid:0x0',
    'uid: 0',
    'uid:1e0',
    'uid:4294967295',
    'uid:65534',
    'uid:',
    'gid:01',
    'user:',
    'user:no-such-user',
    'group:no-such-group',
    'unit:',
    'unit:x',
    'unit:x.slice',
    'unit:../x.service',
    'root',
    'user:../../x',
  ].map((who): readonly [string, string, RegExp] => [
    `C04 C14: a grant to ${who}`,
    replace('"uid:1000"', JSON.stringify(who)),
    /.+/,
  ]),
  ['a principal that is not text', replace('"uid:1000"', '1000'), /.+/],
  [
    'C112: a day that does not exist',
    replace('may = ["x"]', 'may = ["x"]\nuntil = 2027-02-30T00:00:00Z'),
    /.+/,
  ],
  [
    'a time without a zone',
    replace('may = ["x"]', 'may = ["x"]\nuntil = 2027-02-01T00:00:00'),
    /.+/,
  ],
  ['a time that is text', replace('may = ["x"]', 'may = ["x"]\nuntil = "tomorrow"'), /.+/],
  ['no use at all', replace('may = ["x"]', 'may = ["x"]\nuses = 0'), /.+/],
  ['a rate of nothing', replace('may = ["x"]', 'may = ["x"]\nlimit = { rate = "0/min" }'), /.+/],
  ...[
    'network = "some"',
    'read = ["usr"]',
    'read = ["/no/such/path"]',
    'read = "/usr"',
    'write = ["/"]',
    'write = ["/proc"]',
    'read = ["/dev"]',
    'caps = ["CAP_NONSENSE"]',
    'caps = "CAP_KILL"',
    'stdin = "binding"',
    'output = "recording"',
    'limits = { output = "1M" }',
    'syscalls = "all"',
    'syscalls = []',
    'syscalls = ["no_such_call"]',
    'syscalls = ["ptrace"]',
    'observe = "require"',
    'sockets = [{ path = "/usr" }]',
    'sockets = [{ path = "/run/no-such.sock" }]',
    'sockets = [{ path = "/run/no-such.sock", dbus = [] }]\nescapable = true',
    'sockets = [{ path = "/tmp/anybody-may-make.sock" }]\nescapable = true',
    'escapable = 1',
    'limits = { time = "forever" }',
    'limits = { memory = "lots" }',
    'limits = { processes = 0 }',
    'limits = { nonsense = 1 }',
    'limits = 3',
    'nonsense = 1',
  ].map((line): readonly [string, string, RegExp] => [
    `a profile with ${line}`,
    replace('[profile.p]\n', `[profile.p]\n${line}\n`),
    /.+/,
  ]),
  ['approvers that are no table', `${whole}[approvers]\noncall = 3\n`, /.+/],
  ['an unknown table', `${whole}[nonsense]\nx = 1\n`, /nonsense/],
  ['an action that is no table', 'schema = 1\naction = 3\n', /.+/],
  ['a grant that is no list', 'schema = 1\ngrant = 3\n', /.+/],
  ['C15: a syntax error', `${whole}[action.y\n`, /.+/],
  ['C111: nesting', `schema = 1\nx = ${'['.repeat(2000)}${']'.repeat(2000)}\n`, /.+/],
  ['C100: __proto__', `${whole}[action.__proto__]\nabout = "x"\n`, /.+/],
]
for (const [name, text, says] of bad) {
  test(`policy: ${name} is an error with its place`, () => {
    const { policy, problems } = compile(text)
    assert.equal(policy, undefined)
    assert.notEqual(problems.length, 0)
    const shown = problems.map(formatPolicyProblem).join('\n')
    assert.match(shown, /^p\.toml:\d+:\d+: /)
    assert.match(shown, says)
  })
}

test('policy: a compiled policy parses to what it was; order and comments have no meaning', () => {
  const policy = good(whole)
  assert.equal(
    formatCompiledPolicy(parseCompiledPolicy(formatCompiledPolicy(policy))),
    formatCompiledPolicy(policy),
  )
  const [head = '', ...rest] = whole.split(/^(?=\[)/m)
  const shuffled = [head, ...rest.toReversed()].join('# a comment\n')
  assert.equal(formatCompiledPolicy(good(shuffled)), formatCompiledPolicy(policy))
})

test('policy: an action without a risk is taken for irreversible', () => {
  const [found] = good(replace('risk = "read-only"\n', '')).actions
  assert.equal(found?.risk, 'irreversible')
})

test('policy: every other spelling of the compiled form is refused', () => {
  const text = formatCompiledPolicy(good(whole))
  for (const broken of [
    '',
    '{}',
    '[]',
    'null',
    ` ${text}`,
    text.replace('belladonna/policy/v1', 'x'),
    text.replace('"risk":"read-only"', '"risk":"x"'),
    text.replace('"uid":0', '"uid":-1'),
    text.replace('"may":["x"]', '"may":["y"]'),
    text.slice(0, -1),
  ]) {
    assert.throws(
      () => indexPolicy(parseCompiledPolicy(broken)),
      { name: 'BelladonnaError' },
      broken.slice(0, 60),
    )
  }
})

function subject(
  uid: number,
  gid: number,
  groups: readonly number[] = [],
  foreign = false,
): Subject {
  if (!isUid(uid) || !isGid(gid)) throw new Error('ids')
  return { uid, gid, groups: groups.filter(isGid), pid: 1, foreign, unit: null }
}

const request = (parameters: Record<string, string>, name = 'x', reason = ''): ActionRequest => ({
  action: name,
  reason,
  nonce: null,
  parameters: Object.entries(parameters).map(([key, value]) => ({ name: key, value })),
})

const index = indexPolicy(
  good(
    `${whole}until = 2030-01-01T00:00:00Z\n${action.replace('[action.x]', '[action.y]').replace(', "{p}"', '')}`,
  ),
)
const now = Date.UTC(2027, 0, 1)
const rows: readonly (readonly [string, Subject, ActionRequest, number, string])[] = [
  ['a uid', subject(1000, 1000), request({ p: 'a' }), now, 'permit'],
  ['a primary group', subject(2000, 27), request({ p: 'b' }), now, 'permit'],
  ['a supplementary group', subject(2000, 2000, [27]), request({ p: 'b' }), now, 'permit'],
  [
    'an expired grant',
    subject(1000, 1000),
    request({ p: 'a' }),
    Date.UTC(2030, 0, 1),
    'grant_expired',
  ],
  ['an action that is not granted', subject(1000, 1000), request({}, 'y'), now, 'not_granted'],
  ['a stranger', subject(2000, 2000), request({ p: 'a' }), now, 'action_unknown'],
  [
    'a foreign namespace',
    subject(1000, 1000, [], true),
    request({ p: 'a' }),
    now,
    'subject_foreign_namespace',
  ],
  ['C04: 65534', subject(65_534, 1000), request({ p: 'a' }), now, 'subject_unmapped'],
  ['65534 as a group', subject(2000, 65_534, [65_534]), request({ p: 'a' }), now, 'action_unknown'],
  ['root', subject(0, 0), request({ p: 'a' }), now, 'action_unknown'],
  ['another value', subject(1000, 1000), request({ p: 'c' }), now, 'parameter_invalid'],
  ['a missing parameter', subject(1000, 1000), request({}), now, 'parameter_missing'],
  [
    'an unknown parameter',
    subject(1000, 1000),
    request({ p: 'a', host: 'x' }),
    now,
    'parameter_unknown',
  ],
  [
    'C100: __proto__ as a parameter',
    subject(1000, 1000),
    { ...request({}), parameters: [{ name: '__proto__', value: 'a' }] },
    now,
    'parameter_unknown',
  ],
  [
    'a parameter twice',
    subject(1000, 1000),
    {
      ...request({}),
      parameters: [
        { name: 'p', value: 'a' },
        { name: 'p', value: 'b' },
      ],
    },
    now,
    'parameter_duplicate',
  ],
  [
    'a nonce',
    subject(1000, 1000),
    { ...request({ p: 'a' }), nonce: new Uint8Array(16) },
    now,
    'nonce_unsupported',
  ],
]
for (const [name, who, what, nowMs, want] of rows) {
  test(`decide: ${name}: ${want}`, () => {
    const decision: Decision = decide(index, who, what, { nowMs, uses: null, rates: null })
    assert.equal(decision.kind === 'deny' ? decision.code : decision.kind, want)
  })
}

test('promise 1: no permit without a grant, whatever is asked', () => {
  const small = fc.integer({ min: 1001, max: 1010 })
  fc.assert(
    fc.property(
      small,
      small,
      fc.array(small),
      fc.string(),
      fc.dictionary(fc.string(), fc.string()),
      (uid, gid, groups, name, values) => {
        for (const asked of [name, 'x', 'y']) {
          assert.equal(
            decide(index, subject(uid, gid, groups), request(values, asked), {
              ...{ nowMs: now, uses: null, rates: null },
            }).kind,
            'deny',
          )
        }
      },
    ),
  )
})
