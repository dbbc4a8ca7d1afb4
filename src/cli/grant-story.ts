import { formatPrincipal } from '../core/policy/explain.ts'
import type { CompiledLimit } from '../core/policy/compiled.ts'
import type { ChosenPolicy } from './chosen-policy.ts'

/** A grant as it is told: members that are printed as JSON, hence their spelling. */
export type GrantStory = Readonly<{
  id: string
  /** Where it stands; null for the installed policy, which knows no files. */
  file: string | null
  line: number | null
  who: readonly string[]
  until_ms: number | null
  namespace: 'own' | 'any'
  uses: number | null
  /** How often it was used; null where it has no such bound, or the caller may not know. */
  used: number | null
  limit: CompiledLimit | null
}>

/** @param id a grant of the chosen policy; null tells of none */
export function aboutGrant(chosen: ChosenPolicy, id: string | null): GrantStory | null {
  const grant = chosen.policy.grants.find((candidate) => candidate.id === id)
  if (grant === undefined) return null
  const { file, line } = chosen.grantPlaces.get(grant.id) ?? { file: null, line: null }
  const { until_ms, namespace, uses, limit } = grant
  const used = uses === null || chosen.uses === null ? null : (chosen.uses.get(grant.id) ?? 0)
  const who = grant.who.map(formatPrincipal)
  return { id: grant.id, file, line, who, until_ms, namespace, uses, used, limit }
}

/** On one line: which, where, and what bounds it. */
export function describeGrant(grant: GrantStory): string {
  const place = grant.file === null ? '' : ` (${grant.file}:${grant.line})`
  return [`${grant.id}${place} for ${grant.who.join(', ')}`, ...boundsOf(grant)].join('; ')
}

function boundsOf({ until_ms, uses, used, limit, namespace }: GrantStory): readonly string[] {
  return [
    ...(until_ms === null ? [] : [`until ${new Date(until_ms).toISOString()}`]),
    ...(uses === null ? [] : [`${uses} uses, ${used ?? 'an unknown number'} of them used`]),
    ...(limit === null
      ? []
      : [`a rate of one in ${limit.interval_us / 1e6} s, ${limit.burst} at once, not judged here`]),
    ...(namespace === 'any' ? ['from any namespace'] : []),
  ]
}
