import type { CompileFacts } from './compile-facts.ts'
import { readPrincipal } from './compile-principal.ts'
import { sealGrant } from './compiled.ts'
import type {
  CompiledApprovers,
  CompiledGrant,
  CompiledLimit,
  CompiledPrincipal,
} from './compiled.ts'
import { parseUtcInstantMs } from './instant.ts'
import { readReference } from './names.ts'
import { maxBurst, maxUses, parseRateUs } from './rate.ts'
import {
  compareText,
  openFields,
  readInteger,
  readList,
  readNames,
  readParsed,
  readTextLike,
  readWord,
} from '../toml/reader.ts'
import type { Read, Report } from '../toml/reader.ts'
import { suggestionWithin } from '../toml/suggestion.ts'
import type { TomlNode } from '../toml/tree.ts'

const maxPrincipals = 1024
const maxActions = 10_000
const maxMembers = 64

/** Reads a `[[grant]]`; what cannot be read of it is empty. */
export function readGrant(
  facts: CompileFacts,
  actionNames: ReadonlySet<string>,
): (report: Report, node: TomlNode) => CompiledGrant {
  return (report, node) => {
    const fields = openFields(report, node, {
      required: ['who', 'may'],
      optional: ['until', 'namespace', 'uses', 'limit'],
    })
    const who = fields.read('who', readList(readPrincipal(facts.accounts), maxPrincipals), [])
    const may = fields.read('may', readNames(readReference('action', actionNames), maxActions), [])
    for (const key of ['who', 'may'].filter((name) => fields.has(name))) {
      const list = fields.place(key)
      if ('value' in list && Array.isArray(list.value) && list.value.length === 0) {
        report.add(list, 'value_invalid', 'expected at least one name')
      }
    }
    return sealGrant({
      who: onceAndSorted(who),
      may,
      until_ms: fields.read('until', readUntil, null),
      namespace: fields.read('namespace', readWord(['own', 'any']), 'own'),
      uses: fields.read('uses', readInteger(1, maxUses), null),
      limit: fields.read('limit', readLimit, null),
    })
  }
}

/** Reads `[approvers.NAME]`. The keys themselves are read when approvals come. */
export function readApprovers(name: string): (report: Report, node: TomlNode) => CompiledApprovers {
  return (report, node) => {
    const fields = openFields(report, node, { required: ['members'], optional: [] })
    const member = readTextLike(
      /^(?:key|webauthn):[!-~]{1,200}$/,
      '"key:…" or "webauthn:…"',
      (text) => {
        return suggestionWithin(text, /^[^:]*:/, ['key:', 'webauthn:'])
      },
    )
    return { name, members: fields.read('members', readNames(member, maxMembers), []) }
  }
}

const readUntil: Read<number> = (report, node) => {
  const instant = node.kind === 'datetime' ? parseUtcInstantMs(node.value) : undefined
  if (instant !== undefined && instant >= 0) return instant
  const rule = 'a date and time in UTC since 1970 like 2027-01-01T00:00:00Z, without quotes'
  return report.add(node, 'value_invalid', `expected ${rule}`)
}

const readLimit: Read<CompiledLimit> = (report, node) => {
  const fields = openFields(report, node, { required: ['rate'], optional: ['burst'] })
  const interval = readParsed(
    parseRateUs,
    'a rate like "10/min" (of 1 to 1000000; s, min, h or d)',
    // Every wrong letter is near to a unit of one letter.
    (text) => suggestionWithin(text, /(?<=\/)[a-z]{2,}$/, ['min']),
  )
  const interval_us = fields.read('rate', interval, null)
  const burst = fields.read('burst', readInteger(1, maxBurst), 1)
  return interval_us === null ? null : { interval_us, burst }
}

/** The same principal twice says nothing more: one spelling for one meaning. */
function onceAndSorted(who: readonly CompiledPrincipal[]): readonly CompiledPrincipal[] {
  const keyOf = (principal: CompiledPrincipal): string =>
    principal.kind === 'unit'
      ? `unit ${principal.name}`
      : `${principal.kind} ${String(principal.id).padStart(10, '0')} ${principal.name ?? ''}`
  const once = new Map(who.map((principal) => [keyOf(principal), principal]))
  return [...once].sort(([a], [b]) => compareText(a, b)).map(([, principal]) => principal)
}
