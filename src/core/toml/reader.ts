import { compareProblems, quote } from './problem.ts'
import type {
  Place,
  PolicyProblem,
  PolicyProblemCode,
  PolicyWarning,
  PolicyWarningCode,
} from './problem.ts'
import { suggestionFor } from './suggestion.ts'
import type { TomlEntry, TomlNode } from './tree.ts'

/** Collects problems, so that all of them are shown at once. `add` is the only writer. */
export type Report = Readonly<{
  /** Returns null, which is what a reader returns in place of the value. */
  add: (place: Place, code: PolicyProblemCode, message: string, suggestion?: string) => null
  /** Says what the author should know of a policy that is valid all the same. */
  warn: (place: Place, code: PolicyWarningCode, message: string) => void
  /** All problems so far, in the order of the files. */
  list: () => readonly PolicyProblem[]
  warnings: () => readonly PolicyWarning[]
}>

/** Reads a value; when it cannot, says so in the report and returns null. */
export type Read<T> = (report: Report, node: TomlNode) => T | null

/** Which keys a table has: those that must be there, those that may, and those that we cannot enforce yet. */
export type Keys = Readonly<{
  required: readonly string[]
  optional: readonly string[]
  later?: readonly string[]
}>

/** A table opened for reading. A key that is absent or unreadable gives the fallback. */
export type Fields = Readonly<{
  read: <T, F>(key: string, read: Read<T>, fallback: F) => T | F
  /** Where the key's value is, or the table if there is none. */
  place: (key: string) => Place
  has: (key: string) => boolean
}>

/** A report without problems. */
export function openReport(): Report {
  const problems: PolicyProblem[] = []
  const warnings: PolicyWarning[] = []
  return {
    add: ({ file, line, column }, code, message, suggestion) => {
      const hint = suggestion === undefined ? {} : { suggestion }
      problems.push({ file, line, column, code, message, ...hint })
      return null
    },
    warn: ({ file, line, column }, code, message) => {
      warnings.push({ file, line, column, code, message })
    },
    list: () => problems.toSorted(compareProblems),
    warnings: () => warnings.toSorted(compareProblems),
  }
}

/** Opens a table and reports each key that is unknown, missing or not supported yet. */
export function openFields(report: Report, node: TomlNode, keys: Keys): Fields {
  const known = [...keys.required, ...keys.optional]
  const later = keys.later ?? []
  const found = new Map<string, TomlNode>()
  for (const { key, node: value } of readTable(report, node) ?? []) {
    if (known.includes(key.value)) found.set(key.value, value)
    else if (later.includes(key.value)) addNotYet(report, key, key.value)
    else reportUnknownKey(report, key, [...known, ...later])
  }
  if (node.kind === 'table') {
    for (const key of keys.required.filter((name) => !found.has(name))) {
      report.add(node, 'key_missing', `the key ${quote(key)} is missing`)
    }
  }
  return {
    read: (key, read, fallback) => {
      const value = found.get(key)
      return value === undefined ? fallback : (read(report, value) ?? fallback)
    },
    place: (key) => found.get(key) ?? node,
    has: (key) => found.has(key),
  }
}

/** The entries of a table whose keys are names that the author chose. */
export const readTable: Read<readonly TomlEntry[]> = (report, node) =>
  node.kind === 'table' ? node.value : wrongType(report, node, 'a table')

/** Any string. */
export const readText: Read<string> = (report, node) =>
  node.kind === 'string' ? node.value : wrongType(report, node, 'a string')

/** `true` or `false`. */
export const readTruth: Read<boolean> = (report, node) =>
  node.kind === 'boolean' ? node.value : wrongType(report, node, 'true or false')

/** A string that `pattern` accepts as a whole. */
export function readTextLike(pattern: RegExp, what: string, meant?: Meant): Read<string> {
  return readParsed((text) => (pattern.test(text) ? text : undefined), what, meant)
}

/** What a text that cannot be read was probably meant to be. */
type Meant = (text: string) => string | undefined

/** A string that `parse` turns into something else. */
export function readParsed<T>(
  parse: (text: string) => T | undefined,
  what: string,
  meant: Meant = () => undefined,
): Read<T> {
  return (report, node) => {
    const text = readText(report, node)
    if (text === null) return null
    const value = parse(text)
    if (value !== undefined) return value
    return report.add(node, 'value_invalid', `expected ${what}, not ${quote(text)}`, meant(text))
  }
}

/** Another reader's number, if it is within bounds. */
export function readWithin(
  read: Read<number>,
  min: number,
  max: number,
  what: string,
): Read<number> {
  return (report, node) => {
    const value = read(report, node)
    if (value === null || (value >= min && value <= max)) return value
    return report.add(node, 'value_out_of_range', `expected ${what}`)
  }
}

/** An integer within bounds, both included and both exact as a double. */
export function readInteger(min: number, max: number): Read<number> {
  return (report, node) => {
    if (node.kind !== 'integer') return wrongType(report, node, 'an integer')
    if (node.value >= BigInt(min) && node.value <= BigInt(max)) return Number(node.value)
    const bounds = `from ${String(min)} to ${String(max)}`
    return report.add(node, 'value_out_of_range', `expected an integer ${bounds}`)
  }
}

/** One of the words; those in `later` are known and refused as not supported yet. */
export function readWord<const T extends string>(
  words: readonly T[],
  later: readonly string[] = [],
): Read<T> {
  return (report, node) => {
    const text = readText(report, node)
    if (text === null) return null
    const word = words.find((candidate) => candidate === text)
    if (word !== undefined) return word
    if (later.includes(text)) return addNotYet(report, node, text)
    const message = `expected ${words.map(quote).join(' or ')}, not ${quote(text)}`
    return report.add(node, 'value_invalid', message, suggestionFor(text, [...words, ...later]))
  }
}

/** An array; items that cannot be read are left out. More than `max` items are refused. */
export function readList<T>(item: Read<T>, max: number): Read<readonly T[]> {
  return (report, node) => {
    if (node.kind !== 'array') return wrongType(report, node, 'an array')
    if (node.value.length > max) {
      return report.add(node, 'value_out_of_range', `expected at most ${String(max)} items`)
    }
    return node.value.flatMap((element) => item(report, element) ?? [])
  }
}

/** An array of strings without the same one twice, sorted: its order has no meaning. */
export function readNames(item: Read<string>, max: number): Read<readonly string[]> {
  return (report, node) => {
    const seen = new Set<string>()
    const once: Read<string> = (inner, element) => {
      const name = item(inner, element)
      if (name === null || !seen.has(name)) return name === null ? name : keep(seen, name)
      return inner.add(element, 'duplicate', `${quote(name)} stands in this list twice`)
    }
    return readList(once, max)(report, node)?.toSorted(compareText) ?? null
  }
}

/** The order of all our lists: by UTF-16 code units, the same in each locale. */
export function compareText(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

/** Reports a key that no table of this kind has. */
export function reportUnknownKey(
  report: Report,
  key: TomlEntry['key'],
  candidates: readonly string[],
): void {
  const suggestion = suggestionFor(key.value, candidates)
  report.add(key, 'key_unknown', `unknown key ${quote(key.value)}`, suggestion)
}

/** Reports a word of the language that this version does not enforce, and so does not accept. */
export function addNotYet(report: Report, place: Place, word: string): null {
  const message = `${quote(word)} is not supported yet: this version could not enforce it`
  return report.add(place, 'not_yet_supported', message)
}

function wrongType(report: Report, node: TomlNode, what: string): null {
  return report.add(node, 'type_wrong', `expected ${what}, not ${describe(node)}`)
}

function describe(node: TomlNode): string {
  return /^[aeiou]/.test(node.kind) ? `an ${node.kind}` : `a ${node.kind}`
}

function keep(seen: Set<string>, name: string): string {
  seen.add(name)
  return name
}
