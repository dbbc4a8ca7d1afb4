/** Classes of abuse that need no process: docs/reference/abuse.md lists them all. */
import assert from 'node:assert/strict'
import { globSync, lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { openPublicKey, verifySignature } from '../src/core/audit/ed25519.ts'
import { parseVerifierKey } from '../src/core/audit/signed-note.ts'
import { BelladonnaError } from '../src/core/error.ts'
import { parseStrictJson } from '../src/core/json/strict.ts'
import { decide } from '../src/core/policy/decide.ts'
import { indexPolicy } from '../src/core/policy/policy-index.ts'
import {
  compileText,
  factsAt,
  fullPolicy,
  policyOf,
  problemsOf,
  requestOf,
  subjectOf,
} from '../src/core/policy/policy.test-support.ts'
import { formatRequest, parseRequest } from '../src/core/protocol/request.ts'
import { readTomlTree } from '../src/host/toml-tree.ts'

const root = join(import.meta.dirname, '..')

test('C06: a policy cannot name a host, and neither can a request', () => {
  const places = [
    ['schema = 1', 'schema = 1\nhost = "a"'],
    ['[profile.plain]', '[host.a]\n[profile.plain]'],
    ['about = "Look"', 'about = "Look"\nhost = "a"'],
    ['may = ["look"]', 'may = ["look"]\nhosts = ["a"]'],
    ['who = ["user:root"]', 'who = ["host:a"]'],
  ] as const
  for (const [from, to] of places) {
    assert.ok(fullPolicy.includes(from))
    assert.match(problemsOf(fullPolicy.replace(from, to)).join('\n'), /host/)
  }
  const index = indexPolicy(policyOf(fullPolicy))
  for (const name of ['host', 'host_id', 'node', 'hostname']) {
    const decision = decide(index, subjectOf(0), requestOf('look', { [name]: 'a' }), factsAt(0))
    assert.equal(decision.kind === 'deny' ? decision.code : '', 'parameter_unknown')
  }
})

const kinds = indexPolicy(
  policyOf(`schema = 1
[profile.plain]
[action.x]
about = "One parameter of each kind"
command = ["/usr/bin/true", "{word}", "{number}", "{text}", "{force}", "{list}"]
run_as = "root"
profile = "plain"
[action.x.params]
word = { one_of = ["a"] }
number = { integer = { min = 0, max = 5 } }
text = { match = ".*", slash = true, space = true }
force = { flag = "--force" }
list = { match = ".*", slash = true, space = true, repeat = { min = 1, max = 3 } }
[[grant]]
who = ["uid:0"]
may = ["x"]
`),
)
const plain = { word: 'a', number: '1', text: 'a', force: 'true', list: 'a' }
const decidePlain = (values: Readonly<Record<string, string>>): ReturnType<typeof decide> =>
  decide(kinds, subjectOf(0), requestOf('x', { ...plain, ...values }), factsAt(0))

test('C08 C09: a value that begins with a dash is refused for each kind of parameter', () => {
  const permitted = decidePlain({})
  assert.equal(permitted.kind, 'permit')
  assert.deepEqual(permitted.argv.slice(1), ['a', '1', 'a', '--force', 'a'])
  for (const name of Object.keys(plain)) {
    for (const value of ['--', '-- x', '--x', '-', '-1', '-x']) {
      const decision = decidePlain({ [name]: value })
      assert.equal(decision.kind === 'deny' ? decision.code : value, 'parameter_invalid', name)
    }
  }
  // Inside a value it is a character like others, and stays in its own argument.
  for (const value of ['a --', 'a -- x', 'a\u00a0--']) {
    const decision = decidePlain({ text: value })
    if (decision.kind === 'permit') assert.equal(decision.argv[3], value)
  }
})

test('C08: no source of ours asks the environment for an editor, a shell or a path', () => {
  const read = globSync(
    ['src/**/*.ts', 'native/{bell,frame,launcher,preload,relay,sandbox}/*.[ch]'],
    { cwd: root },
  )
    .filter((path) => !/\.test(-[a-z]+)*\.ts$/.test(path))
    .flatMap((path) => [
      ...readFileSync(join(root, path), 'utf8').matchAll(
        /(?:getenv\("|process\.env(?:\[')?\.?)([A-Za-z0-9_]*)/g,
      ),
    ])
    .map(([, name = '']) => name)
  assert.deepEqual([...new Set(read)].toSorted(), [
    'BELLADONNA_SOCKET',
    ...['NOTIFY_SOCKET', 'WATCHDOG_PID', 'WATCHDOG_USEC'],
  ])
})

test('C14: a name that is a path is the name of nobody', () => {
  for (const name of [
    '../../x',
    '.',
    '..',
    '/',
    '/root',
    'root/',
    'a'.repeat(255),
    'root\\n',
    'ro*t',
  ]) {
    for (const who of [`user:${name}`, `group:${name}`, `unit:${name}`]) {
      const text = fullPolicy.replace('who = ["user:root"]', `who = [${JSON.stringify(who)}]`)
      assert.equal(compileText(text).kind, 'invalid', who)
    }
    const action = { action: name, reason: '', nonce: null, parameters: [] }
    assert.throws(() => parseRequest(formatRequest(action)), { code: 'frame_invalid' })
  }
})

test('C17: each word of the policy with one letter changed is an error that shows it', () => {
  const names = /^(?:LANG|__proto__|service|level|tag|force|host|look|app|plain|oncall)$/
  const words = [
    ...fullPolicy
      .replaceAll(/"[^"\n]*"/g, (text) => `"${' '.repeat(text.length - 2)}"`)
      .matchAll(/([a-z_0-9]+)(?= *=)|(?<=\[+)([a-z]+)(?=[.\]])|(?<=\.)params(?=\])/g),
  ]
  let count = 0
  for (const word of words) {
    if (names.test(word[0])) continue
    for (let at = 0; at < word[0].length; at++) {
      const wrong = `${word[0].slice(0, at)}${word[0][at] === 'z' ? 'y' : 'z'}${word[0].slice(at + 1)}`
      const text =
        fullPolicy.slice(0, word.index) + wrong + fullPolicy.slice(word.index + word[0].length)
      assert.ok(problemsOf(text).join('\n').includes(wrong), `${wrong} is taken`)
      count += 1
    }
  }
  console.log(`${words.length} words, ${count} misspellings, each an error`)
  assert.ok(count > 250)
})

test('C31: nothing that is built or kept here is set-user-id', () => {
  const files = globSync(['bin/*', 'native/out/*', 'native/out/*/*', 'tools/*', 'packaging/**'], {
    cwd: root,
  })
  assert.ok(files.includes('native/out/belladonna-launcher'))
  for (const file of files) assert.equal(lstatSync(join(root, file)).mode & 0o6000, 0, file)
})

test('C103: names that collide, and 30,000 of them, cost no more than others', () => {
  const time = (text: string): number => {
    const startMs = performance.now()
    parseStrictJson(text)
    return performance.now() - startMs
  }
  const objectOf = (nameOf: (at: number) => string): string =>
    `{${Array.from({ length: 30_000 }, (_, at) => `${JSON.stringify(nameOf(at))}:0`).join()}}`
  const ordinary = objectOf((at) => `name${at * 7919}`)
  // Array indices are where V8 hashed in a way that could be foreseen (CVE-2026-21717).
  const indices = objectOf((at) => String(at * 1024))
  const best = (text: string): number => Math.min(...[1, 2, 3].map(() => time(text)))
  const [usual, odd] = [best(ordinary), best(indices)]
  console.log(`30,000 names: ${usual.toFixed(0)} ms, 30,000 indices: ${odd.toFixed(0)} ms`)
  assert.ok(odd < 10 * usual + 50)
  assert.throws(() => parseStrictJson(ordinary, { maxMembers: 29_999 }), { code: 'input_invalid' })
})

test('C105: bytes that are no key are refused at once, or verify nothing', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 70 }),
      fc.uint8Array({ minLength: 64, maxLength: 64 }),
      (bytes, signature) => {
        const text = `x+00000000+${Buffer.from(bytes).toString('base64')}`
        assert.throws(() => parseVerifierKey(text), BelladonnaError)
        if (bytes.length !== 32) assert.throws(() => openPublicKey(bytes), BelladonnaError)
        else assert.equal(verifySignature(openPublicKey(bytes), bytes, signature), false)
      },
    ),
  )
  for (const byte of [0, 1, 127, 255]) {
    const key = openPublicKey(new Uint8Array(32).fill(byte))
    assert.equal(verifySignature(key, new Uint8Array(8), new Uint8Array(64).fill(byte)), false)
  }
})

const depths = [1_000, 30_000]
const bombs: readonly (readonly [name: string, text: string])[] = [
  ...depths.flatMap((depth): readonly (readonly [string, string])[] => [
    [`${depth} arrays`, `x = ${'['.repeat(depth)}${']'.repeat(depth)}`],
    [`${depth} open arrays`, `x = ${'['.repeat(depth)}`],
    [`${depth} inline tables`, `x = ${'{a = '.repeat(depth)}1${'}'.repeat(depth)}`],
    [`a key of ${depth} parts`, `${'a.'.repeat(depth)}a = 1`],
    [`a table of ${depth} parts`, `[${'a.'.repeat(depth)}a]`],
  ]),
  ['a key of 1 MiB', `${'a'.repeat(1 << 20)} = 1`],
  ['a string of 5 MiB', `x = "${'a'.repeat(5 << 20)}"`],
  ['20,000 keys', Array.from({ length: 20_000 }, (_, at) => `k${at} = 1`).join('\n')],
  ['20,000 tables', Array.from({ length: 20_000 }, (_, at) => `[t${at}]`).join('\n')],
  ['a number of 1 MiB', `x = ${'1'.repeat(1 << 20)}`],
]
for (const [name, text] of bombs) {
  test(`C111: TOML of ${name} is no policy, and says so soon`, () => {
    const startMs = performance.now()
    const reading = readTomlTree('p.toml', `schema = 1\n${text}\n`)
    if (reading.kind === 'tree') assert.equal(compileText(`schema = 1\n${text}\n`).kind, 'invalid')
    const ms = performance.now() - startMs
    assert.ok(ms < 5_000, `${ms} ms`)
  })
}
