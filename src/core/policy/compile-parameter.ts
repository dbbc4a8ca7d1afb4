import { compileMatch } from './automaton.ts'
import { isWithin, valueAlphabet } from './code-points.ts'
import type { CompiledParameter } from './compiled.ts'
import { quote } from './problem.ts'
import type { Place } from './problem.ts'
import { openFields, readInteger, readNames, readText, readTruth } from './reader.ts'
import type { Fields, Read, Report } from './reader.ts'

/** Longest value of a `match` parameter unless it says otherwise, and at most: characters. */
export const defaultMaxLength: number = 128
export const maxMaxLength: number = 4096
/** Most words of `one_of`. */
export const maxChoices: number = 1024

const kinds = ['one_of', 'integer', 'match'] as const
const forMatch = ['max_length', 'slash', 'space'] as const

/** Reads the definition of the parameter `name`. */
export function readParameter(name: string): Read<CompiledParameter> {
  return (report, node) => {
    const fields = openFields(report, node, {
      required: [],
      optional: [...kinds, ...forMatch, 'leading_dash'],
      later: ['path', 'flag', 'secret', 'repeat'],
    })
    const leading_dash = fields.read('leading_dash', readTruth, false)
    const [kind, ...others] = kinds.filter((word) => fields.has(word))
    if (kind === undefined || others.length > 0) {
      return report.add(
        node,
        'value_invalid',
        'expected exactly one of "one_of", "integer", "match"',
      )
    }
    for (const key of kind === 'match' ? [] : forMatch.filter((word) => fields.has(word))) {
      report.add(fields.place(key), 'value_invalid', `${quote(key)} goes with "match" only`)
    }
    return readKind({ report, fields, name, leading_dash }, kind)
  }
}

type Reading = Readonly<{
  report: Report
  fields: Fields
  name: string
  leading_dash: boolean
}>

function readKind(reading: Reading, kind: (typeof kinds)[number]): CompiledParameter | null {
  const { name, leading_dash, fields } = reading
  switch (kind) {
    case 'one_of': {
      const values = fields.read(kind, readChoices(leading_dash), null)
      return values && { name, leading_dash, kind, values }
    }
    case 'integer': {
      const range = fields.read(kind, readRange(leading_dash), null)
      return range && { name, leading_dash, kind, ...range }
    }
    case 'match':
      return readMatch(reading)
  }
}

function readChoices(leadingDash: boolean): Read<readonly string[]> {
  const alphabet = valueAlphabet({ slash: true, space: true })
  const choice: Read<string> = (report, node) => {
    const text = readText(report, node)
    if (text === null) return null
    if (text.length === 0 || text.length > maxMaxLength || !isWithin(alphabet, text)) {
      const rule = `1 to ${String(maxMaxLength)} characters, none of them invisible`
      return report.add(node, 'value_invalid', `expected ${rule}`)
    }
    if (text.startsWith('-') && !leadingDash) return addDash(report, node)
    return text
  }
  return (report, node) => {
    const words = readNames(choice, maxChoices)(report, node)
    if (words?.length !== 0) return words
    return report.add(node, 'value_invalid', 'expected at least one word')
  }
}

function readRange(leadingDash: boolean): Read<Readonly<{ min: number; max: number }>> {
  const bound = readInteger(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER)
  return (report, node) => {
    const fields = openFields(report, node, { required: ['min', 'max'], optional: [] })
    const min = fields.read('min', bound, 0)
    const max = fields.read('max', bound, min)
    if (max < min) report.add(fields.place('max'), 'value_out_of_range', '"max" is below "min"')
    if (min < 0 && !leadingDash) return addDash(report, fields.place('min'))
    return { min, max }
  }
}

function readMatch({ report, fields, name, leading_dash }: Reading): CompiledParameter | null {
  const pattern = fields.read('match', readText, null)
  const max_length = fields.read('max_length', readInteger(1, maxMaxLength), defaultMaxLength)
  const slash = fields.read('slash', readTruth, false)
  const space = fields.read('space', readTruth, false)
  if (pattern === null) return null
  const match = compileMatch(pattern, { slash, space })
  if (match.kind === 'invalid') {
    return report.add(fields.place('match'), 'pattern_invalid', `pattern: ${match.message}`)
  }
  return { name, leading_dash, kind: 'match', pattern, max_length, table: match.table }
}

function addDash(report: Report, place: Place): null {
  const message =
    'a value that begins with "-" could be read as an option: say `leading_dash = true`'
  return report.add(place, 'parameter_dash', message)
}
