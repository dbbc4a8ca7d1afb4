import { statSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { parseCompiledPolicy } from '../core/policy/compiled-parse.ts'
import { policyDigest } from '../core/policy/compiled.ts'
import type { CompiledPolicy } from '../core/policy/compiled.ts'
import { indexPolicy } from '../core/policy/policy-index.ts'
import type { PolicyIndex } from '../core/policy/policy-index.ts'
import type { Place, PolicyProblem } from '../core/toml/problem.ts'
import { bridgePaths } from '../host/layout.ts'
import { ownUid } from '../host/own-uid.ts'
import { loadInstalledPolicy } from '../host/policy-store.ts'
import { readUsedGrants } from '../host/used-grants-file.ts'
import { compileSource } from './policy.ts'

/** The policy that a question is about. */
export type ChosenPolicy = Readonly<{
  kind: 'chosen'
  policy: CompiledPolicy
  index: PolicyIndex
  digest: string
  /** The file or directory that it was compiled from; null for the installed one. */
  source: string | null
  /** The files' places of grants; none are known of the installed policy. */
  grantPlaces: ReadonlyMap<string, Place>
  /** Whose files may be run, beside root's: the bridge's uid. */
  uid: number
  /** How often grants were used, where the caller may know it. */
  uses: ReadonlyMap<string, number> | null
}>

/**
 * Compiles `source`, or without one loads what is installed below `root`. No bridge needs to be up.
 *
 * @throws {BelladonnaError} `policy_unreadable`, `path_unsafe`; `policy_invalid` for an installed policy that is none
 */
export function choosePolicy(
  root: string,
  source: string | undefined,
): ChosenPolicy | Readonly<{ kind: 'invalid'; problems: readonly PolicyProblem[] }> {
  if (source === undefined) return loadInstalled(root)
  const outcome = compileSource(source, null)
  if (outcome.kind === 'invalid') return outcome
  const { policy, grantPlaces } = outcome
  return choice(root, policy, { source, grantPlaces, uid: ownUid() })
}

function loadInstalled(root: string): ChosenPolicy {
  const { policy: directory } = bridgePaths(root)
  const { text } = loadInstalledPolicy(directory, ownUid())
  try {
    const grantPlaces = new Map<string, Place>()
    const uid = statSync(directory).uid
    return choice(root, parseCompiledPolicy(text), { source: null, grantPlaces, uid })
  } catch (cause) {
    if (!(cause instanceof BelladonnaError)) throw cause
    throw new BelladonnaError('policy_invalid', 'the installed policy', { cause })
  }
}

function choice(
  root: string,
  policy: CompiledPolicy,
  about: Pick<ChosenPolicy, 'source' | 'grantPlaces' | 'uid'>,
): ChosenPolicy {
  // The executor's state is open to it alone.
  const uses = ownUid() === about.uid ? readUsedGrants(bridgePaths(root).state, about.uid) : null
  const index = indexPolicy(policy)
  return { kind: 'chosen', policy, index, digest: policyDigest(policy), ...about, uses }
}
