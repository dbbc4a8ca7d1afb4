import type { Subject } from '../identity.ts'
import type { CompiledLimit } from './compiled.ts'

/** Longest time between two requests of a rate: one a day. */
export const maxIntervalUs: number = 86_400_000_000
/** Most requests at once. */
export const maxBurst: number = 10_000
/** Most uses of a grant. */
export const maxUses: number = 1_000_000_000

const unitsUs: ReadonlyMap<string, number> = new Map([
  ['s', 1_000_000],
  ['min', 60_000_000],
  ['h', 3_600_000_000],
  ['d', 86_400_000_000],
])

/**
 * Microseconds between two requests of a rate like `10/min`: a count of 1 to 1,000,000 and s, min, h or d.
 *
 * Rounded up, so that what is measured in whole microseconds is never more than what was written.
 */
export function parseRateUs(text: string): number | undefined {
  const [, count = '0', unit = ''] = /^([1-9][0-9]{0,6})\/(s|min|h|d)$/.exec(text) ?? []
  const unitUs = unitsUs.get(unit)
  if (unitUs === undefined || Number(count) > 1_000_000) return undefined
  return Math.ceil(unitUs / Number(count))
}

/** What a rate says of one request: yes with the new state, or when to come again. */
export type RateAnswer =
  Readonly<{ kind: 'conforms'; tatUs: number }> | Readonly<{ kind: 'exceeds'; waitUs: number }>

/**
 * The generic cell rate algorithm. Its whole state is the theoretical arrival time of the next request, in Unix
 * microseconds: in the past, or not known, for who has not asked for long.
 *
 * `cost` is what this one counts for, where they are not all alike; one above the burst never conforms.
 *
 * A clock that is set back makes requests wait, and permits none that it would not have.
 *
 * @see ITU-T I.371, annex A, "virtual scheduling algorithm"
 */
export function applyRate(
  limit: CompiledLimit,
  tatUs: number | undefined,
  nowMs: number,
  cost = 1,
): RateAnswer {
  const nowUs = nowMs * 1000
  const dueUs = Math.max(tatUs ?? nowUs, nowUs)
  const earliestUs = dueUs - (limit.burst - cost) * limit.interval_us
  if (nowUs < earliestUs) return { kind: 'exceeds', waitUs: earliestUs - nowUs }
  return { kind: 'conforms', tatUs: dueUs + cost * limit.interval_us }
}

/**
 * The key of a rate's state: for each grant each unit that it names has its own, whatever uids it runs as, and everybody else one
 * for each uid. A unit that it does not name counts nothing: each login of a user is one (`session-3.scope`), and would be a new
 * state (ADR 0015).
 */
export function rateKey(
  { id, units }: Readonly<{ id: string; units: ReadonlySet<string> }>,
  { uid, unit }: Pick<Subject, 'uid' | 'unit'>,
): string {
  return unit !== null && units.has(unit) ? `${id} unit ${unit}` : `${id} uid ${String(uid)}`
}
