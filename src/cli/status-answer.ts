/** What `/v1/status` says, member by member: one that is not there, or of another type, reads as nothing. */
import type { JsonValue } from '../core/json/canonical.ts'

export function membersOf(value: JsonValue): Readonly<Record<string, JsonValue>> {
  return typeof value === 'object' && value !== null
    ? Object.fromEntries(Object.entries(value))
    : {}
}

export function memberOf(value: JsonValue, key: string): JsonValue {
  return new Map(Object.entries(membersOf(value))).get(key) ?? null
}

export function textOf(value: JsonValue, key: string): string {
  const member = memberOf(value, key)
  return typeof member === 'string' ? member : ''
}

export function listOf(value: JsonValue, key: string): readonly JsonValue[] {
  const member = memberOf(value, key)
  return typeof member === 'object' && member !== null ? Object.values(member) : []
}
