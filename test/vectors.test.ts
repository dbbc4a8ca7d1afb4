/** Other people's vectors against our readers. Each suite prints how many cases it ran. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { decide } from '../src/core/policy/decide.ts'
import { indexPolicy } from '../src/core/policy/policy-index.ts'
import { factsAt, policyOf, requestOf, subjectOf } from '../src/core/policy/policy.test-support.ts'
import type { TomlNode } from '../src/core/toml/tree.ts'
import { formatRequest, parseRequest } from '../src/core/protocol/request.ts'
import { readTomlTree } from '../src/host/toml-tree.ts'
import { skipWithoutData } from './data.ts'

const index = indexPolicy(
  policyOf(`schema = 1
[profile.plain]
[action.x]
about = "Anything visible"
command = ["/usr/bin/true", "{p}", "end"]
run_as = "root"
profile = "plain"
[action.x.params.p]
match = ".*"
slash = true
space = true
[[grant]]
who = ["uid:0"]
may = ["x"]
`),
)

/** toml-test writes a value as { type, value }, both text; ours in the same form, as far as it keeps the text. */
function tagged(node: TomlNode): unknown {
  switch (node.kind) {
    case 'table':
      return Object.fromEntries(
        node.value.map(({ key, node: inner }) => [key.value, tagged(inner)]),
      )
    case 'array':
      return node.value.map(tagged)
    case 'float':
      return { type: 'float', value: node.value }
    case 'datetime':
      return { type: 'datetime', value: node.flavour }
    case 'string':
    case 'integer':
    case 'boolean':
      return { type: node.kind === 'boolean' ? 'bool' : node.kind, value: String(node.value) }
  }
}

const datetimes: ReadonlyMap<unknown, string> = new Map([
  ['datetime', 'offset'],
  ['datetime-local', 'local'],
  ['date-local', 'date'],
  ['time-local', 'time'],
])

/** What toml-test wants, in the form of `tagged`. */
function wanted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(wanted)
  if (typeof value !== 'object' || value === null) return value
  const fields = new Map<string, unknown>(Object.entries(value))
  const [type, text] = [fields.get('type'), fields.get('value')]
  if (fields.size === 2 && typeof type === 'string' && typeof text === 'string') {
    const flavour = datetimes.get(type)
    if (flavour !== undefined) return { type: 'datetime', value: flavour }
    return { type, value: type === 'float' ? floatOf(text) : text }
  }
  return Object.fromEntries([...fields].map(([key, inner]) => [key, wanted(inner)]))
}

function floatOf(text: string): number {
  if (/inf$/.test(text)) return text.startsWith('-') ? -Infinity : Infinity
  return Number(text)
}

test('C15 C111 C112: toml-test: what is invalid is refused, what is valid is read as it is meant', (t) => {
  const folder = skipWithoutData(t, 'toml-test', 919)
  if (folder === undefined) return
  const count = { valid: 0, invalid: 0, refused: 0 }
  const listed = readFileSync(join(folder, 'files-toml-1.0.0'), 'utf8').split('\n')
  const files = listed.filter((name) => name.endsWith('.toml') && existsSync(join(folder, name)))
  const wrong = cutLines(folder).filter((line) => readBytes(Buffer.from(line)) !== undefined)
  const lines = cutLines(folder).length
  for (const name of files) {
    const bytes = readFileSync(join(folder, name))
    const reading = readBytes(bytes)
    if (name.startsWith('invalid/')) {
      count.invalid += 1
      if (reading !== undefined) wrong.push(`${name} is taken`)
    } else if (reading === undefined) {
      count.refused += 1
      wrong.push(`${name} is refused`)
    } else {
      count.valid += 1
      const expected: unknown = JSON.parse(
        readFileSync(join(folder, name.replace(/toml$/, 'json')), 'utf8'),
      )
      assert.deepEqual(tagged(reading), wanted(expected), name)
    }
  }
  console.log(`toml-test: ${files.length} files: ${JSON.stringify(count)}; ${lines} invalid lines`)
  assert.ok(count.valid > 200 && count.invalid > 300 && lines > 50)
  assert.deepEqual(wrong, [])
})

/** Some invalid files are kept as lines of one: each line is a document. */
function cutLines(folder: string): readonly string[] {
  return ['array/array', 'bool/bool', 'string/string']
    .flatMap((name) => readFileSync(join(folder, 'invalid', `${name}.multi`), 'utf8').split('\n'))
    .filter((line) => line.trim() !== '' && !line.startsWith('#'))
}

/** As readTrustedFile does: what is no UTF-8 is no text. */
function readBytes(bytes: Uint8Array): TomlNode | undefined {
  try {
    const reading = readTomlTree(
      'x.toml',
      new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes),
    )
    return reading.kind === 'tree' ? reading.tree : undefined
  } catch (error) {
    if (error instanceof TypeError) return undefined
    throw error
  }
}

test('C13: JSONTestSuite: each text as a value is refused, or reaches argv as it is', (t) => {
  const folder = skipWithoutData(t, 'jsontestsuite/test_parsing', 229)
  if (folder === undefined) return
  const count = { permitted: 0, refused: 0 }
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'))
  for (const name of names) {
    const bytes: Buffer = readFileSync(join(folder, name))
    const text = valueOf(bytes)
    const decision =
      text === undefined
        ? undefined
        : decide(index, subjectOf(0), requestOf('x', { p: text }), factsAt(0))
    if (decision?.kind !== 'permit') {
      count.refused += 1
      continue
    }
    count.permitted += 1
    assert.equal(decision.argv.length, 3)
    assert.deepEqual(Buffer.from(decision.argv[1] ?? ''), bytes, name)
    assert.doesNotMatch(decision.argv[1] ?? '', /[\p{Cc}\p{Cs}\p{Bidi_C}\p{Zl}\p{Zp}]/u, name)
  }
  console.log(`JSONTestSuite as values: ${names.length} texts: ${JSON.stringify(count)}`)
  assert.ok(count.permitted > 100 && count.refused > 20)
})

/** The bytes as the value of a request that came over the wire; undefined when the frame is refused. */
function valueOf(bytes: Uint8Array): string | undefined {
  if (bytes.length > 65_535) return undefined // no frame has room for it
  const parameters = [{ name: 'p', value: 'x'.repeat(bytes.length) }]
  const frame = formatRequest({ action: 'x', reason: '', nonce: null, parameters })
  frame.set(bytes, frame.length - bytes.length)
  try {
    return parseRequest(frame).parameters[0]?.value
  } catch {
    return undefined
  }
}

test('C09: GTFOBins: no option of any program that is misused elsewhere is taken for a value', (t) => {
  const file = skipWithoutData(t, 'gtfobins/gtfobins-facts.json', 333)
  if (file === undefined) return
  const options = new Set(
    [...readFileSync(file, 'utf8').matchAll(/"(-[^"]*)": \[/g)].map(([, name = '']) => name),
  )
  for (const option of options) {
    for (const value of [option, `${option}=/bin/sh`, `${option} /bin/sh`]) {
      const decision = decide(index, subjectOf(0), requestOf('x', { p: value }), factsAt(0))
      assert.equal(decision.kind === 'deny' ? decision.code : value, 'parameter_invalid')
    }
  }
  console.log(`GTFOBins: ${options.size} options, none taken`)
  assert.ok(options.size > 100)
})
