import type { CompiledPolicy } from './compiled.ts'
import type { PolicyIndex } from './policy-index.ts'

/** A policy that can be decided by. */
export type UsablePolicy = Readonly<{
  kind: 'policy'
  digest: string
  policy: CompiledPolicy
  index: PolicyIndex
}>

/** What reading the installed policy came to when it cannot be used. `why` is in our words. */
export type UnusablePolicy = Readonly<{ kind: 'unusable'; why: string }>

/** What comes of a reload. `unchanged`: the installed policy is the one in force. */
export type ReloadOutcome =
  | Readonly<{ kind: 'adopted' }>
  | Readonly<{ kind: 'unchanged' }>
  | Readonly<{ kind: 'refused'; reason: string }>

/**
 * Whether the installed policy comes into force: only if both services read the same one and it can be recorded.
 *
 * @param isShort whether the disk is so full that nothing new may begin
 */
export function decideReload(
  inForce: string,
  broker: Pick<UsablePolicy, 'kind' | 'digest'> | UnusablePolicy,
  executor: Pick<UsablePolicy, 'kind' | 'digest'> | UnusablePolicy,
  isShort: boolean,
): ReloadOutcome {
  if (executor.kind === 'unusable') return { kind: 'refused', reason: executor.why }
  if (broker.kind === 'unusable') return { kind: 'refused', reason: broker.why }
  if (broker.digest !== executor.digest) {
    const reason = 'broker and executor read different policies: it was being replaced'
    return { kind: 'refused', reason }
  }
  if (broker.digest === inForce) return { kind: 'unchanged' }
  return isShort ? { kind: 'refused', reason: 'the disk of the log is full' } : { kind: 'adopted' }
}
