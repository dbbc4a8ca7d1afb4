import type { Subject } from '../../core/identity.ts'
import type { CompiledLimit } from '../../core/policy/compiled.ts'
import { applyRate } from '../../core/policy/rate.ts'
import { openRates } from './rates.ts'

/** Whom some grant names, and everybody else on the host. */
export type DeniedClass = 'granted' | 'strangers'

/** What a denial's entry can have of a request. */
export type Denied = Readonly<{ subject: Pick<Subject, 'uid' | 'groups'>; request: Uint8Array }>

/** How many bytes of entries denials may add to the log: one to start with, `burst` at once, and a steady rate. */
export type DenialBudget = Readonly<{
  /** Whether this denial may be an entry; then it is charged for. */
  take: (kind: DeniedClass, denied: Denied, nowMs: number) => boolean
}>

/** Bytes at once, and microseconds for each byte after that: 0.9 GB a day for each uid that a grant names. */
const ofGranted: CompiledLimit = { burst: 32 * 1024 * 1024, interval_us: 100 }
/** Of one stranger. */
const ofStranger: CompiledLimit = { burst: 256 * 1024, interval_us: 1000 }
/** Of all of them: 0.35 GB a day, whatever number of uids somebody has (subuid(5)). */
const ofStrangers: CompiledLimit = { burst: 1024 * 1024, interval_us: 250 }

/**
 * A budget for denials by uid (ADR 0031): who may connect cannot fill the log's disk with refusals.
 *
 * The table of uids is bounded: strangers get into it only as far as their common budget goes, and what is full again is
 * forgotten.
 */
export function openDenialBudget(): DenialBudget {
  const uids = openRates(4096)
  let strangersTatUs: number | undefined
  return {
    take: (kind, denied, nowMs) => {
      const cost = entryBytesAtMost(denied)
      const key = `${kind} ${denied.subject.uid}`
      const limit = kind === 'granted' ? ofGranted : ofStranger
      const own = applyRate(limit, uids.states.get(key), nowMs, cost)
      if (own.kind === 'exceeds') return false
      if (kind === 'strangers') {
        const common = applyRate(ofStrangers, strangersTatUs, nowMs, cost)
        if (common.kind === 'exceeds') return false
        strangersTatUs = common.tatUs
      }
      uids.take({ key, tatUs: own.tatUs }, nowMs)
      return true
    },
  }
}

/** No denial has a longer one: the values that were asked for are not in it. */
const maxDenialBytes = 16_384

/** JSON makes six bytes of some of a request's; the rest is ours. */
function entryBytesAtMost({ subject, request }: Denied): number {
  return Math.min(maxDenialBytes, 700 + 12 * subject.groups.length + 6 * request.length)
}
