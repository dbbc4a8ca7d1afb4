import { BelladonnaError } from '../error.ts'
import type { JsonValue } from './canonical.ts'

/**
 * Turns a JSON value into the type that a caller needs, or throws. `where` is the path for the message.
 *
 * @throws {BelladonnaError} `input_invalid`
 */
export type Shape<T> = (value: JsonValue, where: string) => T

/** An object whose members are taken one by one. */
export type Members = Readonly<{
  /** Reads the member `name`, which must be there. */
  take: <T>(name: string, shape: Shape<T>) => T
  /** Null if it is not there. */
  takeIfThere: <T>(name: string, shape: Shape<T>) => T | null
}>

/** An object that `read` takes apart member by member; whatever it leaves is an error. */
export function recordOf<T>(read: (members: Members, where: string) => T): Shape<T> {
  return (value, where) => {
    const rest = new Map(Object.entries(asObject(value, where)))
    const result = read(membersOf(rest, where), where)
    const [unknown] = rest.keys()
    if (unknown !== undefined) throw misshapen(where, `unknown member ${JSON.stringify(unknown)}`)
    return result
  }
}

function membersOf(rest: Map<string, JsonValue>, where: string): Members {
  const members: Members = {
    take: (name, shape) => {
      const member = rest.get(name)
      if (member === undefined) throw misshapen(where, `expected a member ${JSON.stringify(name)}`)
      rest.delete(name)
      return shape(member, `${where}.${name}`)
    },
    takeIfThere: (name, shape) => (rest.has(name) ? members.take(name, shape) : null),
  }
  return members
}

/** Any string. */
export const anyString: Shape<string> = (value, where) => {
  if (typeof value !== 'string') throw misshapen(where, 'expected a string')
  return value
}

/** `true` or `false`. */
export const anyBoolean: Shape<boolean> = (value, where) => {
  if (typeof value !== 'boolean') throw misshapen(where, 'expected true or false')
  return value
}

/** What `guard` accepts, for brands and closed sets of words. */
export function guarded<T>(guard: (value: unknown) => value is T, what: string): Shape<T> {
  return (value, where) => {
    if (!guard(value)) throw misshapen(where, `expected ${what}`)
    return value
  }
}

/** One of the given words. */
export function oneOf<const T extends string>(words: readonly T[]): Shape<T> {
  return (value, where) => {
    const word = words.find((candidate) => candidate === value)
    if (word === undefined) throw misshapen(where, `expected one of ${words.join(', ')}`)
    return word
  }
}

/** An integer within bounds, both included. */
export function integerWithin(min: number, max: number): Shape<number> {
  return (value, where) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
      throw misshapen(where, `expected an integer from ${String(min)} to ${String(max)}`)
    }
    return value
  }
}

/** A string that `accepts` says yes to. */
export function stringWhere(accepts: (text: string) => boolean, what: string): Shape<string> {
  return (value, where) => {
    const text = anyString(value, where)
    if (!accepts(text)) throw misshapen(where, `expected ${what}`)
    return text
  }
}

/** An array of items of one shape. */
export function listOf<T>(item: Shape<T>): Shape<readonly T[]> {
  return (value, where) => {
    if (!isArray(value)) throw misshapen(where, 'expected an array')
    return value.map((element, index) => item(element, `${where}[${String(index)}]`))
  }
}

/** An object whose names are free and whose values have one shape. */
export function mapOf<T>(name: Shape<string>, item: Shape<T>): Shape<Readonly<Record<string, T>>> {
  return (value, where) =>
    Object.fromEntries(
      Object.entries(asObject(value, where)).map(([key, member]) => [
        name(key, where),
        item(member, `${where}.${key}`),
      ]),
    )
}

/** `null`, or the shape. */
export function orNull<T>(shape: Shape<T>): Shape<T | null> {
  return (value, where) => (value === null ? null : shape(value, where))
}

/** The error that every shape throws. */
export function misshapen(where: string, what: string): BelladonnaError {
  return new BelladonnaError('input_invalid', `${where}: ${what}`)
}

function asObject(value: JsonValue, where: string): { readonly [name: string]: JsonValue } {
  if (value === null || typeof value !== 'object' || isArray(value)) {
    throw misshapen(where, 'expected an object')
  }
  return value
}

function isArray(value: JsonValue): value is readonly JsonValue[] {
  return Array.isArray(value)
}
