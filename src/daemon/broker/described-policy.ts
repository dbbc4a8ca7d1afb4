import { parseBase64 } from '../../core/json/base64.ts'
import type { JsonValue } from '../../core/json/canonical.ts'
import type { CompiledProfile } from '../../core/policy/compiled.ts'
import type { UsablePolicy } from '../../core/policy/reload.ts'
import { segmentDigests } from '../../core/policy/segments.ts'
import { rootWays, writtenRoots } from '../../core/policy/root-ways.ts'
import type { SegmentDigests } from '../../core/policy/segments.ts'
import { allowedCalls } from '../../core/sandbox/bus-place.ts'
import { enforcementOf } from '../../core/sandbox/enforcement.ts'
import { parsePlan } from '../../core/sandbox/plan.ts'

/** What `status` says of a policy. */
export type DescribedPolicy = Readonly<{
  digest: string
  segments: SegmentDigests
  /** How many. */
  actions: number
  /** Profiles by name. */
  escapable: readonly string[]
  profiles: readonly JsonValue[]
}>

/**
 * Describes the policy in force, once: with 10,000 rules it takes 60 ms, and anybody may ask as often as they like.
 *
 * @param features enum wire_feature bits of what this kernel can enforce
 */
export function openDescription(features: number): (policy: UsablePolicy) => DescribedPolicy {
  let of: UsablePolicy | null = null
  let description: DescribedPolicy | null = null
  return (inForce) => {
    if (description !== null && of === inForce) return description
    const { digest, policy } = inForce
    of = inForce
    const written = Map.groupBy(policy.actions, ({ profile }) => profile)
    description = {
      digest,
      segments: segmentDigests(policy),
      actions: policy.actions.length,
      escapable: policy.profiles.filter((profile) => profile.escapable).map(({ name }) => name),
      profiles: policy.profiles.map((profile) => {
        const params = (written.get(profile.name) ?? []).flatMap((action) => action.params)
        const ways = rootWays(profile, writtenRoots(params)).map(({ by }) => by)
        return { ...describeProfile(profile, features), as_good_as_root: ways }
      }),
    }
    return description
  }
}

/** What of a profile's sandbox this kernel really enforces (DESIGN.md promise 8). */
function describeProfile(
  profile: CompiledProfile,
  host: number,
): Readonly<Record<string, JsonValue>> {
  const { name, plan, escapable, sockets } = profile
  const { inForce, missing } = enforcementOf(parsePlan(parseBase64(plan)), host)
  return { name, escapable, filtered: allowedCalls(sockets), in_force: inForce, missing }
}
