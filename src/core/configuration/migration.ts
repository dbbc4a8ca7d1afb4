import type { TextEdit } from './edits.ts'
import { configurationKeys } from './keys.ts'
import { removedKeys } from './removed-keys.ts'

/** Where `key = value` stands in a text, by offsets of UTF-16 code units. */
export type PairSpan = Readonly<{
  /** Names from the file's own table down, those of the header included. */
  path: readonly string[]
  start: number
  /** After the value. */
  end: number
  /** Index in `headers` of the table it stands under; null above the first. */
  header: number | null
  /** The inline table that holds it, as an index in `pairs`; null for a line of its own. */
  inline: number | null
}>

/** Where `[table]` or `[[table]]` stands. */
export type HeaderSpan = Readonly<{ path: readonly string[]; start: number; end: number }>

/** All that has a place in a TOML text, from top to bottom; an inline table stands before what it holds. */
export type TomlSpans = Readonly<{
  pairs: readonly PairSpan[]
  headers: readonly HeaderSpan[]
}>

/** What is to change, and why, one line each. No edits: nothing is to migrate. */
export type Migration = Readonly<{ edits: readonly TextEdit[]; reasons: readonly string[] }>

/**
 * Finds the edits that make an old configuration one of this version: they take removed keys out, and say `schema = 1` where
 * nothing does. Every other byte stays: comments, order and layout are the author's.
 */
export function planMigration(text: string, spans: TomlSpans): Migration {
  const gone = findGone(spans)
  const saysSchema = spans.pairs.some(({ path }) => path.join() === 'schema')
  const schema = { start: 0, end: 0, text: `schema = 1${lineEnd(text)}` }
  const edits = [
    ...(saysSchema ? [] : [schema]),
    ...[...spans.pairs.entries()]
      .filter(([at]) => gone.pairs.has(at))
      .flatMap(([at, pair]) => removePair(text, spans, gone, pair, at)),
    ...[...spans.headers.entries()]
      .filter(([at]) => gone.headers.has(at))
      .map(([, header]) => wholeLines(text, header)),
  ]
  const names = new Set([...spans.headers, ...spans.pairs].flatMap(({ path }) => path))
  return {
    edits: edits.toSorted((a, b) => a.start - b.start),
    reasons: [...removedKeys].flatMap(([name, why]) => (names.has(name) ? `${name}: ${why}` : [])),
  }
}

type Gone = Readonly<{ pairs: ReadonlySet<number>; headers: ReadonlySet<number> }>

const isRemoved = (name: string): boolean => removedKeys.has(name)
const knownTables = new Set(Object.values(configurationKeys).map(({ table }) => table))

/** Removed keys, and then each table that nothing is left in and that this version does not know. */
function findGone({ pairs, headers }: TomlSpans): Gone {
  const gonePairs = new Set<number>()
  const inInline = groupBy(pairs, ({ inline }) => inline)
  const underHeader = groupBy(pairs, ({ header }) => header)
  const goes = (path: readonly string[], held: readonly number[] = []): boolean => {
    if (path.some(isRemoved)) return true
    const isEmptied = held.length > 0 && held.every((inner) => gonePairs.has(inner))
    return isEmptied && !(path.length === 1 && knownTables.has(path.join()))
  }
  // From the bottom up: an inline table comes before what it holds.
  for (const [at, { path }] of [...pairs.entries()].toReversed()) {
    if (goes(path, inInline.get(at))) gonePairs.add(at)
  }
  const goneHeaders = [...headers.entries()].filter(([at, { path }]) => {
    return goes(path, underHeader.get(at))
  })
  return { pairs: gonePairs, headers: new Set(goneHeaders.map(([at]) => at)) }
}

function groupBy(
  pairs: readonly PairSpan[],
  holder: (pair: PairSpan) => number | null,
): ReadonlyMap<number, readonly number[]> {
  const groups = new Map<number, number[]>()
  for (const [at, pair] of pairs.entries()) {
    const place = holder(pair)
    if (place === null) continue
    const group = groups.get(place)
    if (group === undefined) groups.set(place, [at])
    else group.push(at)
  }
  return groups
}

function removePair(
  text: string,
  { pairs }: TomlSpans,
  gone: Gone,
  pair: PairSpan,
  at: number,
): readonly TextEdit[] {
  if (pair.inline === null) return [wholeLines(text, pair)]
  if (gone.pairs.has(pair.inline)) return [] // it goes with the table
  const staysBefore = (other: PairSpan, index: number): boolean =>
    other.inline === pair.inline && index < at && !gone.pairs.has(index)
  return [betweenCommas(text, pair, pairs.some(staysBefore))]
}

/** The lines that it stands on, with what follows the value: white space or a comment, and nothing else by TOML's grammar. */
function wholeLines(text: string, span: Readonly<{ start: number; end: number }>): TextEdit {
  const newline = text.indexOf('\n', span.end)
  return {
    start: text.lastIndexOf('\n', span.start - 1) + 1,
    end: newline < 0 ? text.length : newline + 1,
    text: '',
  }
}

/** With the comma before it if something stays there, else with the one after it. */
function betweenCommas(text: string, { start, end }: PairSpan, follows: boolean): TextEdit {
  if (follows) return { start: text.slice(0, start).replace(/,\s*$/, '').length, end, text: '' }
  return { start, end: text.length - text.slice(end).replace(/^\s*,\s*/, '').length, text: '' }
}

function lineEnd(text: string): string {
  return /\r\n/.test(text) ? '\r\n' : '\n'
}
