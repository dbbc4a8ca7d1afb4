/** Tetragon's alignchecker, for our frames: the C headers and src/core/protocol/layout.ts must say the same. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import * as layout from '../../src/core/protocol/layout.ts'
import { compile, openScratch } from './compile.ts'

type Entry = Readonly<{
  struct?: string
  size?: number
  field?: string
  offset?: number
  bytes?: number
  group?: string
  name?: string
  value?: number
}>

type Layout = Record<string, { size: number; offsets: Record<string, number> }>
/** Per struct: its fields' sizes, added up. */
type Sums = Record<string, number>
type Constants = Record<string, Record<string, number>>

const headers = ['wire.h', 'plan.h']
  .map((name) => readFileSync(new URL(`../../native/${name}`, import.meta.url), 'utf8'))
  .join('')
  .replace(/\/\*[\s\S]*?\*\//g, '')

/** The lines of wire-names.h: everything that the headers define, by name only. */
function names(): readonly string[] {
  const structs = [...headers.matchAll(/struct (wire_\w+) \{([^}]*)\};/g)].flatMap(
    ([, type = '', body = '']) => [
      `STRUCT(${type})`,
      ...[...body.matchAll(/(\w+)(?:\[\w+\])?;/g)].map(([, field = '']) => `FIELD(${type}, ${field})`),
    ],
  )
  const enums = [...headers.matchAll(/enum (wire_\w+) \{([^}]*)\};/g)].flatMap(
    ([, group = '', body = '']) =>
      [...body.matchAll(/(WIRE_\w+)\s*=/g)].map(([, name = '']) => `CONSTANT(${group}, ${name})`),
  )
  const defines = [...headers.matchAll(/#define (WIRE_\w+) \d/g)].map(
    ([, name = '']) => `CONSTANT(define, ${name})`,
  )
  return [...structs, ...enums, ...defines]
}

function isEntries(value: unknown): value is readonly Entry[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'object')
}

function camel(snake: string): string {
  return snake.toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** What the constants of one enum have in common, up to an underscore. */
function commonPrefix(all: readonly string[]): string {
  const [first = ''] = all
  let end = first.lastIndexOf('_') + 1
  while (!all.every((name) => name.startsWith(first.slice(0, end)))) {
    end = first.lastIndexOf('_', end - 2) + 1
  }
  return first.slice(0, end)
}

/** Entries of the C program, by the names that layout.ts gives them. */
function gather(
  entries: readonly Entry[],
): Readonly<{ structs: Layout; sums: Sums; constants: Constants }> {
  const structs: Layout = {}
  const sums: Sums = {}
  const grouped = new Map<string, Entry[]>()
  for (const entry of entries) {
    if (entry.group !== undefined) {
      grouped.set(entry.group, [...(grouped.get(entry.group) ?? []), entry])
      continue
    }
    const key = camel((entry.struct ?? '').replace(/^wire_/, ''))
    if (entry.size !== undefined) structs[key] = { size: entry.size, offsets: {} }
    const found = structs[key]
    if (found !== undefined && entry.field !== undefined && entry.offset !== undefined) {
      found.offsets[camel(entry.field)] = entry.offset
      sums[key] = (sums[key] ?? 0) + (entry.bytes ?? 0)
    }
  }
  const constants: Constants = {}
  for (const [group, members] of grouped) {
    const prefix = commonPrefix(members.map(({ name }) => name ?? ''))
    constants[camel(group)] = Object.fromEntries(
      members.map(({ name = '', value = -1 }) => [camel(name.slice(prefix.length)), value]),
    )
  }
  return { structs, sums, constants }
}

function compiledLayout(): ReturnType<typeof gather> {
  using scratch = openScratch()
  const program = compile(scratch.path, 'wire-layout.c', { 'wire-names.h': names().join('\n') })
  const printed: unknown = JSON.parse(execFileSync(program, { encoding: 'utf8' }))
  assert.ok(isEntries(printed))
  return gather(printed)
}

const { structs, sums, constants } = compiledLayout()

test('wire layout: structs, sizes and offsets are those of the headers', () => {
  assert.deepEqual(layout.wireLayout, structs)
})

test('wire layout: the fields fill their struct, so no byte is left to the compiler', () => {
  const sizes = Object.fromEntries(Object.entries(structs).map(([name, { size }]) => [name, size]))
  assert.deepEqual(sums, sizes)
})

test('wire layout: enums are those of the headers', () => {
  const enums = Object.fromEntries(
    Object.entries(constants).filter(([group]) => group !== 'define'),
  )
  const ours = Object.fromEntries(
    Object.entries(layout).filter(
      ([name, value]) => typeof value === 'object' && name !== 'wireLayout',
    ),
  )
  assert.deepEqual(ours, enums)
})

test('wire layout: bounds are those of the headers', () => {
  assert.deepEqual(constants['define'], {
    version: layout.wireVersion,
    maxRequest: layout.maxRequestBytes,
    maxFrame: layout.maxFrameBytes,
    maxGroups: layout.maxGroups,
    maxCgroups: layout.maxCgroups,
    maxInputs: layout.maxInputs,
    firstInput: layout.firstInput,
    maxSecret: layout.maxSecretBytes,
    maxStdin: layout.maxStdinBytes,
    maxRead: layout.maxReadBytes,
  })
})
