import type { JsonValue } from '../json/canonical.ts'
import type { CompiledAction, CompiledFlag, CompiledParameter, CompiledSecret } from './compiled.ts'
import { describeParameter } from './decide.ts'
import { ecmaPath, ecmaPatternOf } from './ecma-pattern.ts'
import { pathBounds } from './granted-path.ts'

type JsonObject = Readonly<Record<string, JsonValue>>

/**
 * The parameters of an action as a JSON Schema: of an object with a member for each. A value that it accepts is one that
 * `decide` takes, and the other way round, once numbers are written in decimal and booleans as `true` and `false`; but for
 * what no schema can say: the number of values in all, which `requestLimits` bounds, the bytes of a path and of its parts,
 * and that no path of a request lies in another. The text for a secret is no value: it goes by a descriptor.
 *
 * @see JSON Schema 2020-12; spec/policy.md, "Parameters as JSON Schema"
 */
export function schemaOfParameters({ params }: CompiledAction): JsonObject {
  const members = params.map((parameter) => [parameter.name, schemaOf(parameter)] as const)
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: Object.fromEntries(members),
    required: params.filter(isRequired).map(({ name }) => name),
    additionalProperties: false,
  }
}

function isRequired(parameter: CompiledParameter): boolean {
  if (parameter.kind === 'secret') return true
  return parameter.kind !== 'flag' && parameter.repeat?.min !== 0
}

function schemaOf(parameter: CompiledParameter): JsonObject {
  const description = describeParameter(parameter)
  if (parameter.kind === 'flag') return { type: 'boolean', description }
  if (parameter.kind === 'secret') return { type: 'string', writeOnly: true, description }
  const value = { ...schemaOfValue(parameter), description }
  if (parameter.repeat === null) return value
  const { min, max } = parameter.repeat
  return { type: 'array', items: value, minItems: min, maxItems: max }
}

function schemaOfValue(
  parameter: Exclude<CompiledParameter, CompiledFlag | CompiledSecret>,
): JsonObject {
  switch (parameter.kind) {
    case 'one_of':
      return { type: 'string', enum: parameter.values.filter((word) => mayBegin(parameter, word)) }
    case 'integer': {
      const { leading_dash, min, max } = parameter
      return { type: 'integer', minimum: leading_dash ? min : Math.max(min, 0), maximum: max }
    }
    case 'match': {
      const text = { type: 'string', maxLength: parameter.max_length }
      const made = ecmaPatternOf(parameter)
      if (made === null) return text
      const not = made.never === null ? {} : { not: { pattern: made.never } }
      return { ...text, pattern: made.pattern, ...not }
    }
    case 'path': {
      const { pattern, never } = ecmaPath
      return { type: 'string', maxLength: pathBounds.bytes, pattern, not: { pattern: never } }
    }
  }
}

function mayBegin({ leading_dash }: Readonly<{ leading_dash: boolean }>, word: string): boolean {
  return leading_dash || !word.startsWith('-')
}
