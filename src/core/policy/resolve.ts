import { BelladonnaError } from '../error.ts'
import type { Subject } from '../identity.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import { sha256Hex } from '../json/digest.ts'
import type { CompiledAction } from './compiled.ts'
import type { Ask, Permit } from './decide.ts'

/** What only the executor knows about one run. Digests, host id and nonce are lower-case hexadecimal. */
export type ResolveFacts = Readonly<{
  policyDigest: string
  hostId: string
  nonce: string
  /** Unix milliseconds after which nothing may run by this resolved action. */
  notAfterMs: number
  executableSha256: string
}>

/** Everything that a run is bound to, as one text, and the SHA-256 of that text: the action digest. */
export type ResolvedAction = Readonly<{ text: string; digest: string }>

/**
 * Makes the resolved action of a permit. Broker and executor make it each for itself; equal facts give equal bytes.
 *
 * @throws {BelladonnaError} `input_invalid` if the executable is not one that the action pins
 * @see spec/resolved-action.md
 */
export function resolveAction(
  permit: Permit | Ask,
  subject: Subject,
  facts: ResolveFacts,
): ResolvedAction {
  const { action, profile, argv, version } = permit
  if (!isPinned(action, facts.executableSha256)) {
    throw new BelladonnaError(
      'input_invalid',
      `resolve ${action.id}: the executable is not the pinned one`,
    )
  }
  const text = formatCanonicalJson({
    type: 'belladonna/resolved-action/v1',
    action: action.id,
    action_version: version,
    policy: facts.policyDigest,
    argv,
    executable: { path: action.executable, sha256: facts.executableSha256 },
    run_as: action.run_as,
    env: action.env,
    cwd: action.cwd,
    profile: profile.digest,
    escapable: profile.escapable,
    subject: { uid: subject.uid, gid: subject.gid, groups: subject.groups, unit: null },
    host: facts.hostId,
    nonce: facts.nonce,
    not_after_ms: facts.notAfterMs,
    stdin: null,
    inputs: {},
    secrets: {},
  })
  return { text, digest: sha256Hex(text) }
}

/** Whether an executable of this digest may be run: any, unless the action's `sha256` lists some. */
export function isPinned(action: CompiledAction, sha256: string): boolean {
  return action.sha256.length === 0 || action.sha256.includes(sha256)
}
