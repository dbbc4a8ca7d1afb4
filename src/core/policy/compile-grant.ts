import type { CompileFacts } from './compile-facts.ts'
import { readPrincipal } from './compile-principal.ts'
import { sealGrant } from './compiled.ts'
import type { CompiledApprovers, CompiledGrant, CompiledPrincipal } from './compiled.ts'
import { parseUtcInstantMs } from './instant.ts'
import { readReference } from './names.ts'
import { compareText, openFields, readList, readNames, readTextLike } from './reader.ts'
import type { Read } from './reader.ts'

const maxPrincipals = 1024
const maxActions = 10_000
const maxMembers = 64

/** Reads a `[[grant]]`. */
export function readGrant(
  facts: CompileFacts,
  actionNames: ReadonlySet<string>,
): Read<CompiledGrant> {
  return (report, node) => {
    const fields = openFields(report, node, {
      required: ['who', 'may'],
      optional: ['until'],
      later: ['limit', 'uses', 'namespace'],
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
    })
  }
}

/** Reads `[approvers.NAME]`. The keys themselves are read when approvals come. */
export function readApprovers(name: string): Read<CompiledApprovers> {
  return (report, node) => {
    const fields = openFields(report, node, { required: ['members'], optional: [] })
    const member = readTextLike(/^(?:key|webauthn):[!-~]{1,200}$/, '"key:…" or "webauthn:…"')
    return { name, members: fields.read('members', readNames(member, maxMembers), []) }
  }
}

const readUntil: Read<number> = (report, node) => {
  const instant = node.kind === 'datetime' ? parseUtcInstantMs(node.value) : null
  const rule = 'a date and time in UTC like 2027-01-01T00:00:00Z, without quotes'
  return instant ?? report.add(node, 'value_invalid', `expected ${rule}`)
}

/** The same principal twice says nothing more: one spelling for one meaning. */
function onceAndSorted(who: readonly CompiledPrincipal[]): readonly CompiledPrincipal[] {
  const keyOf = ({ kind, id, name }: CompiledPrincipal): string =>
    `${kind} ${String(id).padStart(10, '0')} ${name ?? ''}`
  const once = new Map(who.map((principal) => [keyOf(principal), principal]))
  return [...once].sort(([a], [b]) => compareText(a, b)).map(([, principal]) => principal)
}
