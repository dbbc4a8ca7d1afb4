import { requestLimits } from '../protocol/request.ts'
import { compileMatch } from './automaton.ts'
import { isWithin, valueAlphabet } from './code-points.ts'
import type { CompileFacts } from './compile-facts.ts'
import { readPathKind } from './compile-path-kind.ts'
import type { CompiledParameter, CompiledRepeat } from './compiled.ts'
import { quote } from '../toml/problem.ts'
import type { Place } from '../toml/problem.ts'
import { openFields, readInteger, readNames, readText, readTruth } from '../toml/reader.ts'
import type { Fields, Read, Report } from '../toml/reader.ts'

/** Longest value of a `match` parameter unless it says otherwise, and at most: characters. */
const defaultMaxLength = 128
const maxMaxLength = 4096
/** Most words of `one_of`. */
const maxChoices = 1024

const kinds = ['one_of', 'integer', 'match', 'path', 'flag', 'secret'] as const
type Kind = (typeof kinds)[number]

/** The keys beside the kind, and the kinds that they go with. */
const companions: ReadonlyMap<string, readonly Kind[]> = new Map([
  ['leading_dash', ['one_of', 'integer', 'match']],
  ['repeat', ['one_of', 'integer', 'match', 'path']],
  ['max_length', ['match']],
  ['slash', ['match']],
  ['space', ['match']],
])

/** Reads the definition of the parameter `name`. */
export function readParameter(facts: CompileFacts, name: string): Read<CompiledParameter> {
  return (report, node) => {
    const fields = openFields(report, node, {
      required: [],
      optional: [...kinds, ...companions.keys()],
    })
    if (node.kind !== 'table') return null // reported already
    const [kind, ...others] = kinds.filter((word) => fields.has(word))
    if (kind === undefined || others.length > 0) {
      const expected = kinds.map(quote).join(', ')
      return report.add(node, 'value_invalid', `expected exactly one of ${expected}`)
    }
    for (const [key, allowed] of companions) {
      if (!fields.has(key) || allowed.includes(kind)) continue
      const message = `${quote(key)} goes with ${allowed.map(quote).join(', ')} only`
      report.add(fields.place(key), 'value_invalid', message)
    }
    if (kind === 'flag') {
      const argument = fields.read(kind, readFixedText, null)
      return argument === null ? null : { name, kind, argument }
    }
    if (kind === 'secret') {
      if (fields.read(kind, readTruth, true)) return { name, kind }
      return report.add(fields.place(kind), 'value_invalid', 'expected true')
    }
    const repeat = fields.read('repeat', readRepeat, null)
    if (kind === 'path') {
      const path = fields.read(kind, readPathKind(facts), null)
      return path && { name, leading_dash: false, repeat, kind, ...path }
    }
    const leading_dash = fields.read('leading_dash', readTruth, false)
    return readKind({ report, fields, common: { name, leading_dash, repeat } }, kind)
  }
}

type Reading = Readonly<{
  report: Report
  fields: Fields
  common: Readonly<{ name: string; leading_dash: boolean; repeat: CompiledRepeat | null }>
}>

function readKind(
  reading: Reading,
  kind: Exclude<Kind, 'flag' | 'path' | 'secret'>,
): CompiledParameter | null {
  const { common, fields } = reading
  switch (kind) {
    case 'one_of': {
      const values = fields.read(kind, readChoices(common.leading_dash), null)
      return values && { ...common, kind, values }
    }
    case 'integer': {
      const range = fields.read(kind, readRange(common.leading_dash), null)
      return range && { ...common, kind, ...range }
    }
    case 'match':
      return readMatch(reading)
  }
}

/** How often a value may be given: the wire carries no more than so many values of all parameters together. */
const readRepeat: Read<CompiledRepeat> = (report, node) => {
  const fields = openFields(report, node, { required: ['max'], optional: ['min'] })
  const bound = requestLimits.parameters
  const min = fields.read('min', readInteger(0, bound), 1)
  const max = fields.read('max', readInteger(1, bound), bound)
  if (max < min) report.add(fields.place('max'), 'value_out_of_range', '"max" is below "min"')
  return { min, max }
}

const visible = valueAlphabet({ slash: true, space: true })

/** A text that stands in an argument as the policy has it. */
const readFixedText: Read<string> = (report, node) => {
  const text = readText(report, node)
  if (text === null) return null
  if (text.length > 0 && text.length <= maxMaxLength && isWithin(visible, text)) return text
  const rule = `1 to ${String(maxMaxLength)} characters, none of them invisible`
  return report.add(node, 'value_invalid', `expected ${rule}`)
}

function readChoices(leadingDash: boolean): Read<readonly string[]> {
  const choice: Read<string> = (report, node) => {
    const text = readFixedText(report, node)
    return text?.startsWith('-') && !leadingDash ? addDash(report, node) : text
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

function readMatch({ report, fields, common }: Reading): CompiledParameter | null {
  const pattern = fields.read('match', readText, null)
  const max_length = fields.read('max_length', readInteger(1, maxMaxLength), defaultMaxLength)
  const slash = fields.read('slash', readTruth, false)
  const space = fields.read('space', readTruth, false)
  if (pattern === null) return null
  const match = compileMatch(pattern, { slash, space })
  if (match.kind === 'invalid') {
    return report.add(fields.place('match'), 'pattern_invalid', `pattern: ${match.message}`)
  }
  return { ...common, kind: 'match', pattern, max_length, table: match.table }
}

function addDash(report: Report, place: Place): null {
  const message =
    'a value that begins with "-" could be read as an option: say `leading_dash = true`'
  return report.add(place, 'parameter_dash', message)
}
