import { parseTOML } from 'toml-eslint-parser'
import type { AST } from 'toml-eslint-parser'
import { parse, TomlDate, TomlError } from 'smol-toml'
import { BelladonnaError } from '../core/error.ts'
import { isCalendarDatetime } from '../core/policy/instant.ts'
import { formatPolicyProblem } from '../core/toml/problem.ts'
import type { Place, PolicyProblem } from '../core/toml/problem.ts'
import type { DatetimeFlavour, Located, TomlEntry, TomlNode, TomlTable } from '../core/toml/tree.ts'

/** Largest file, as UTF-8. */
export const maxTomlBytes: number = 4 * 1024 * 1024
/** Tables and arrays within each other, the file's own table included. */
export const maxTomlDepth: number = 16

/** A file read as TOML, or the first thing that is wrong with it. */
export type TomlReading =
  | Readonly<{ kind: 'tree'; tree: TomlTable }>
  | Readonly<{ kind: 'invalid'; problem: PolicyProblem }>

/**
 * Reads TOML 1.0 with the place of each key and value.
 *
 * Two parsers read the text: `smol-toml` for the values, `toml-eslint-parser` for the places. Where they do not agree
 * on a value the file is refused: a policy must not mean two things.
 *
 * Not trusted: who writes the text can at most have it refused, within the limits above (ABUSE C111).
 */
export function readTomlTree(file: string, text: string): TomlReading {
  try {
    // A byte order mark is not part of the text, whoever put it there.
    return { kind: 'tree', tree: readTree(file, text.replace(/^\ufeff/, '')) }
  } catch (error) {
    if (!isFault(error)) throw error
    return { kind: 'invalid', problem: { file, ...error.cause, code: 'syntax_invalid' } }
  }
}

/**
 * The same for callers that have one file and no list of problems.
 *
 * @throws {BelladonnaError} `input_invalid` with file, line and column
 */
export function parseTomlTree(file: string, text: string): TomlTable {
  const reading = readTomlTree(file, text)
  if (reading.kind === 'tree') return reading.tree
  throw new BelladonnaError('input_invalid', formatPolicyProblem(reading.problem))
}

/** What `fault` throws, and nothing else in this file. */
type Fault = Error &
  Readonly<{ cause: Readonly<{ line: number; column: number; message: string }> }>

function fault(line: number, column: number, message: string): Error {
  return new Error('toml', { cause: { line, column, message } })
}

function isFault(error: unknown): error is Fault {
  return error instanceof Error && error.message === 'toml' && error.cause instanceof Object
}

/** A table or array while it grows; `readTree` owns it. */
type Draft =
  | { kind: 'table'; place: Place; entries: Map<string, { key: Located<string>; draft: Draft }> }
  | { kind: 'array'; place: Place; items: Draft[] }
  | { kind: 'leaf'; node: TomlNode }
type DraftTable = Extract<Draft, { kind: 'table' }>

function readTree(file: string, text: string): TomlTable {
  if (Buffer.byteLength(text) > maxTomlBytes) {
    throw fault(1, 1, `larger than ${String(maxTomlBytes)} bytes`)
  }
  const values = readValues(text)
  const [program] = readPlaces(text).body
  const root: DraftTable = {
    kind: 'table',
    place: { file, line: 1, column: 1 },
    entries: new Map(),
  }
  for (const item of program.body) {
    if (item.type === 'TOMLKeyValue') {
      addKeyValue(root, item, 1)
      continue
    }
    const table = openTable(root, item)
    for (const entry of item.body) addKeyValue(table, entry, 1 + item.key.keys.length)
  }
  const tree = finishTable(root)
  if (!agrees(tree, values)) throw fault(1, 1, 'two TOML parsers read this file differently')
  return tree
}

function readValues(text: string): unknown {
  try {
    return parse(text, { integersAsBigInt: true, maxDepth: maxTomlDepth })
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [summary = ''] = error.message.split('\n')
    throw fault(error.line, error.column, summary.replace(/^Invalid TOML document: /, ''))
  }
}

function readPlaces(text: string): AST.TOMLProgram {
  try {
    return parseTOML(text, { tomlVersion: '1.0' })
  } catch (error) {
    // A RangeError is this parser's way to say that a string is very long.
    if (error instanceof RangeError) throw fault(1, 1, 'a string is too long')
    if (!isParseError(error)) throw error
    throw fault(error.lineNumber, error.column + 1, lowerFirst(error.message))
  }
}

function isParseError(
  error: unknown,
): error is SyntaxError & { lineNumber: number; column: number } {
  return error instanceof SyntaxError && 'lineNumber' in error && 'column' in error
}

function openTable(root: DraftTable, item: AST.TOMLTable): DraftTable {
  checkDepth(item.key.keys.length, placeOf(root.place.file, item))
  const parents = item.key.keys.slice(0, -1)
  const parent = parents.reduce((table, key) => enter(table, located(root.place.file, key)), root)
  const last = item.key.keys.at(-1)
  if (last === undefined) throw contradiction(placeOf(root.place.file, item))
  const key = located(root.place.file, last)
  if (item.kind === 'standard') return enter(parent, key)
  const table: DraftTable = {
    kind: 'table',
    place: placeOf(root.place.file, item),
    entries: new Map(),
  }
  const known = parent.entries.get(key.value)?.draft
  if (known === undefined) {
    parent.entries.set(key.value, {
      key,
      draft: { kind: 'array', place: table.place, items: [table] },
    })
  } else if (known.kind === 'array') known.items.push(table)
  else throw contradiction(key)
  return table
}

function addKeyValue(table: DraftTable, entry: AST.TOMLKeyValue, depth: number): void {
  const { file } = table.place
  const parts = entry.key.keys
  checkDepth(depth + parts.length - 1, placeOf(file, entry))
  const parent = parts.slice(0, -1).reduce((inner, key) => enter(inner, located(file, key)), table)
  const last = parts.at(-1)
  if (last === undefined) throw contradiction(placeOf(file, entry))
  const key = located(file, last)
  if (parent.entries.has(key.value)) throw contradiction(key)
  parent.entries.set(key.value, { key, draft: draftOf(file, entry.value, depth + parts.length) })
}

/** The table below `key`: made when missing; of an array of tables, the last. */
function enter(table: DraftTable, key: Located<string>): DraftTable {
  const known = table.entries.get(key.value)?.draft
  if (known === undefined) {
    const { file, line, column } = key
    const draft: DraftTable = { kind: 'table', place: { file, line, column }, entries: new Map() }
    table.entries.set(key.value, { key, draft })
    return draft
  }
  const target = known.kind === 'array' ? known.items.at(-1) : known
  if (target?.kind !== 'table') throw contradiction(key)
  return target
}

function draftOf(file: string, node: AST.TOMLContentNode, depth: number): Draft {
  const place = placeOf(file, node)
  checkDepth(depth, place)
  switch (node.type) {
    case 'TOMLArray':
      return {
        kind: 'array',
        place,
        items: node.elements.map((item) => draftOf(file, item, depth + 1)),
      }
    case 'TOMLInlineTable': {
      const table: DraftTable = { kind: 'table', place, entries: new Map() }
      for (const entry of node.body) addKeyValue(table, entry, depth)
      return table
    }
    case 'TOMLValue':
      return { kind: 'leaf', node: leafOf(place, node) }
  }
}

const flavours: Readonly<Record<AST.TOMLDateTimeValue['kind'], DatetimeFlavour>> = {
  'offset-date-time': 'offset',
  'local-date-time': 'local',
  'local-date': 'date',
  'local-time': 'time',
}

function leafOf(place: Place, node: AST.TOMLValue): TomlNode {
  switch (node.kind) {
    case 'string':
      return { ...place, kind: 'string', value: node.value }
    case 'integer':
      return { ...place, kind: 'integer', value: node.bigint }
    case 'float':
      return { ...place, kind: 'float', value: node.value }
    case 'boolean':
      return { ...place, kind: 'boolean', value: node.value }
    case 'offset-date-time':
    case 'local-date-time':
    case 'local-date':
    case 'local-time':
      if (!isCalendarDatetime(node.datetime)) {
        throw fault(place.line, place.column, 'not a date or time of the calendar')
      }
      return { ...place, kind: 'datetime', value: node.datetime, flavour: flavours[node.kind] }
  }
}

function finish(draft: Draft): TomlNode {
  switch (draft.kind) {
    case 'leaf':
      return draft.node
    case 'array':
      return { ...draft.place, kind: 'array', value: draft.items.map(finish) }
    case 'table':
      return finishTable(draft)
  }
}

function finishTable(draft: DraftTable): TomlTable {
  const value: TomlEntry[] = [...draft.entries.values()].map((entry) => ({
    key: entry.key,
    node: finish(entry.draft),
  }))
  return { ...draft.place, kind: 'table', value }
}

/** Whether both parsers read the same value. Of dates smol-toml keeps no text, so only the kind is compared. */
function agrees(node: TomlNode, value: unknown): boolean {
  switch (node.kind) {
    case 'table': {
      if (typeof value !== 'object' || value === null) return false
      const members = new Map<string, unknown>(Object.entries(value))
      return (
        members.size === node.value.length &&
        node.value.every(({ key, node: inner }) => agrees(inner, members.get(key.value)))
      )
    }
    case 'array':
      return (
        Array.isArray(value) &&
        value.length === node.value.length &&
        node.value.every((item, index) => agrees(item, value[index]))
      )
    case 'datetime':
      return value instanceof TomlDate
    case 'string':
    case 'integer':
    case 'float':
    case 'boolean':
      return Object.is(node.value, value)
  }
}

function checkDepth(depth: number, place: Place): void {
  if (depth <= maxTomlDepth) return
  throw fault(place.line, place.column, `nested deeper than ${String(maxTomlDepth)}`)
}

function contradiction(place: Place): Error {
  return fault(place.line, place.column, 'the key is defined twice, or its table is no table')
}

function located(file: string, key: AST.TOMLBare | AST.TOMLQuoted): Located<string> {
  return { ...placeOf(file, key), value: key.type === 'TOMLBare' ? key.name : key.value }
}

function placeOf(file: string, node: AST.HasLocs): Place {
  const { line, column } = node.loc.start
  return { file, line, column: column + 1 }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
