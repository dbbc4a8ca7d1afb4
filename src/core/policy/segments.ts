import { formatCanonicalJson } from '../json/canonical.ts'
import type { JsonValue } from '../json/canonical.ts'
import { digestOfJson, sha256Hex } from '../json/digest.ts'
import type { CompiledGrant, CompiledPolicy } from './compiled.ts'
import { compareText } from '../toml/reader.ts'

/** The parts of a policy that are told apart when it changes. */
export const segmentNames = ['auth', 'rate', 'sandbox', 'decoy'] as const
export type SegmentName = (typeof segmentNames)[number]

/** SHA-256 of each segment, lower-case hexadecimal. */
export type SegmentDigests = Readonly<Record<SegmentName, string>>

/**
 * The digests of a policy's segments: `auth` is who may do what, `rate` how often, `sandbox` in which walls; `decoy` is
 * empty until there are decoys. Two policies have all four in common if and only if they have one digest.
 *
 * @see spec/policy.md, "Segments"
 */
export function segmentDigests(policy: CompiledPolicy): SegmentDigests {
  const { actions, approvers, architecture, profiles } = policy
  const grants = policy.grants.map((grant) => withoutBounds(grant))
  const rates = policy.grants.flatMap((grant) => {
    const { uses, limit } = grant
    return uses === null && limit === null
      ? []
      : [{ grant: digestOfJson(withoutBounds(grant)), uses, limit }]
  })
  return {
    auth: digestOf('auth', { actions, approvers, grants: sorted(grants) }),
    rate: digestOf('rate', sorted(rates)),
    sandbox: digestOf('sandbox', { architecture, profiles }),
    decoy: digestOf('decoy', []),
  }
}

/** The id is left out too: it is a digest over the bounds. */
function withoutBounds({ who, may, until_ms, namespace }: CompiledGrant): JsonValue {
  return { who, may, until_ms, namespace }
}

/** By canonical text: ids of grants, by which they stand in the policy, change with their bounds. */
function sorted(values: readonly JsonValue[]): readonly JsonValue[] {
  return values.toSorted((a, b) => compareText(formatCanonicalJson(a), formatCanonicalJson(b)))
}

function digestOf(name: SegmentName, value: JsonValue): string {
  return sha256Hex(`belladonna/policy/v1/${name}\n${formatCanonicalJson(value)}`)
}
