import { BelladonnaError } from '../../core/error.ts'
import { formatHex } from '../../core/audit/merkle.ts'
import type { JsonValue } from '../../core/json/canonical.ts'
import { parseHex } from '../../core/json/hex.ts'
import { decideReload } from '../../core/policy/reload.ts'
import type { ReloadOutcome, UnusablePolicy, UsablePolicy } from '../../core/policy/reload.ts'
import type { Frame } from '../../core/protocol/frame.ts'
import { openHold } from '../../core/protocol/hold.ts'
import { formatAdopt, parseLoaded } from '../../core/protocol/reload-frames.ts'
import type { Loaded } from '../../core/protocol/reload-frames.ts'
import type { NewEntry } from './entries.ts'

/** What a reload needs of the world, and requests too. */
export type PolicySwitchHost = Readonly<{
  loadPolicy: () => UsablePolicy | UnusablePolicy
  toExecutor: (frame: Uint8Array) => void
  /**
   * Puts an entry into the batch and returns its index. `durable` is called once the batch is on disk; a batch that cannot
   * be written ends the process before any is called.
   */
  record: (entry: NewEntry, durable: (index: number) => void) => number
  /** Whether the disk is so full that nothing new may begin. */
  isShort: () => boolean
  nowMs: () => number
}>

/** How the last reload went, as `status` shows it. */
export type ReloadReport = Readonly<{
  count: number
  last: Readonly<{ state: ReloadOutcome['kind']; reason: string | null; time_ms: number }> | null
}>

/** The policy in force, and how it becomes another one. Nobody else swaps it. */
export type PolicySwitch = Readonly<{
  inForce: () => UsablePolicy
  /** Keeps a request that came after a RELOAD; false when none is going on. */
  keep: (frame: Frame) => boolean
  /** RELOAD from the launcher. */
  reload: () => void
  /** LOADED from the executor. */
  loaded: (body: Uint8Array) => void
  report: () => JsonValue
}>

/**
 * Between RELOAD and its outcome no request is decided, here or in the executor, so none is decided under two policies: all
 * before RELOAD were answered under the old one, since the executor's answers come before its LOADED.
 *
 * @param handle takes the requests that waited
 */
export function openPolicySwitch(
  host: PolicySwitchHost,
  first: UsablePolicy,
  handle: (frame: Frame) => void,
): PolicySwitch {
  const hold = openHold()
  let inForce = first
  let own: UsablePolicy | UnusablePolicy | null = null
  /** The executor may be faster than the launcher's frame to us. */
  let theirs: Loaded | null = null
  let report: ReloadReport = { count: 0, last: null }

  const finish = (outcome: ReloadOutcome): void => {
    const reason = outcome.kind === 'refused' ? outcome.reason : null
    const last = { state: outcome.kind, reason, time_ms: host.nowMs() }
    report = { count: report.count + 1, last }
    host.toExecutor(formatAdopt(parseHex(inForce.digest)))
    hold.release(handle)
  }
  const settle = (): void => {
    if (own === null || theirs === null) return
    const ours = own
    const answer = theirs
    own = theirs = null
    const executor = answer.kind === 'policy' ? withHex(answer) : answer
    const outcome = decideReload(inForce.digest, ours, executor, host.isShort())
    if (outcome.kind === 'adopted' && ours.kind === 'policy') {
      const state = { kind: 'policy', state: 'adopted', policyDigest: ours.digest } as const
      host.record({ ...state, reason: null }, () => {
        inForce = ours
        finish(outcome)
      })
    } else if (outcome.kind === 'refused' && !host.isShort()) {
      const state = { kind: 'policy', state: 'refused', policyDigest: inForce.digest } as const
      host.record({ ...state, reason: outcome.reason }, () => finish(outcome))
    } else finish(outcome)
  }
  return {
    inForce: () => inForce,
    keep: hold.keep,
    reload: () => {
      hold.begin()
      own = host.loadPolicy()
      settle()
    },
    loaded: (body) => {
      if (theirs !== null || (hold.isHolding() && own === null)) {
        throw new BelladonnaError('frame_invalid', 'out of turn: a second policy is loaded')
      }
      theirs = parseLoaded(body)
      settle()
    },
    report: () => report,
  }
}

function withHex({ digest }: Extract<Loaded, { kind: 'policy' }>): {
  kind: 'policy'
  digest: string
} {
  return { kind: 'policy', digest: formatHex(digest) }
}
