import type { Subject } from '../identity.ts'
import type { CompiledGrant, CompiledLimit } from './compiled.ts'
import { overflowId } from '../toml/quantity.ts'

/** Of a grant, what a decision depends on. */
export type IndexedGrant = Readonly<{
  id: string
  /** The units that it names. */
  units: ReadonlySet<string>
  /** Null: for ever. Not infinity, which would be an object of its own in memory. */
  untilMs: number | null
  uses: number | null
  limit: CompiledLimit | null
}>

/** Grants of one action to one principal: the preferred first, and each later one only because it lasts longer. */
type Ladder = IndexedGrant | readonly IndexedGrant[]

/**
 * By principal. Most actions have one grant to one principal, and 10,000 of them must fit a cache: that is one object, and not a map, a
 * table and an array.
 */
type Ladders<K> = ReadonlyMap<K, Ladder> | Readonly<{ only: K; ladder: Ladder }> | null

/** The grants of one action by whom they name. */
export type GrantTable = Readonly<{
  byUid: Ladders<number>
  byGid: Ladders<number>
  byUnit: Ladders<string>
}>

const emptyTable: GrantTable = { byUid: null, byGid: null, byUnit: null }

/** 65534 is whoever has no id here, and 4294967295 is "leave unchanged": nobody (ABUSE C04, CVE-2019-14287). */
export function isUsableId(id: number): boolean {
  return id !== overflowId && id !== 0xffff_ffff
}

/** Builds the table of the grants that give one action; their order has no meaning. */
export function tableOf(grants: readonly CompiledGrant[]): GrantTable {
  if (grants.length === 0) return emptyTable
  const byUid = new Map<number, IndexedGrant[]>()
  const byGid = new Map<number, IndexedGrant[]>()
  const byUnit = new Map<string, IndexedGrant[]>()
  for (const { id, until_ms, uses, limit, who } of grants) {
    const units = unitsOf(who)
    const grant = { id, units, untilMs: until_ms, uses, limit }
    for (const principal of who) {
      if (principal.kind === 'unit') append(byUnit, principal.name, grant)
      else append(principal.kind === 'user' ? byUid : byGid, principal.id, grant)
    }
  }
  return { byUid: laddersOf(byUid), byGid: laddersOf(byGid), byUnit: laddersOf(byUnit) }
}

const noUnits: ReadonlySet<string> = new Set()

/** Most grants name none, and share one set. */
function unitsOf(who: CompiledGrant['who']): ReadonlySet<string> {
  const names = who.flatMap((principal) => (principal.kind === 'unit' ? principal.name : []))
  return names.length === 0 ? noUnits : new Set(names)
}

function append<K>(map: Map<K, IndexedGrant[]>, key: K, grant: IndexedGrant): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [grant])
  else list.push(grant)
}

function laddersOf<K>(map: ReadonlyMap<K, readonly IndexedGrant[]>): Ladders<K> {
  if (map.size === 0) return null
  const ladders = [...map].map(([only, grants]) => ({ only, ladder: ladderOf(grants) }))
  if (ladders.length === 1) return ladders[0] ?? null
  return new Map(ladders.map(({ only, ladder }) => [only, ladder]))
}

function ladderFor<K>(ladders: Ladders<K>, key: K): Ladder | undefined {
  if (ladders === null) return undefined
  if (!('only' in ladders)) return ladders.get(key)
  return ladders.only === key ? ladders.ladder : undefined
}

function ladderOf(grants: readonly IndexedGrant[]): Ladder {
  let lastsMs = -1
  const rungs = grants.toSorted(comparePreference).filter((grant) => {
    if (endOf(grant) <= lastsMs) return false
    lastsMs = endOf(grant)
    return true
  })
  const [first] = rungs
  return rungs.length === 1 && first !== undefined ? first : rungs
}

function endOf({ untilMs }: IndexedGrant): number {
  return untilMs ?? Infinity
}

/** Whether it has not expired. */
export function isLive({ untilMs }: IndexedGrant, nowMs: number): boolean {
  return untilMs === null || nowMs < untilMs
}

/**
 * Which of several grants counts for a subject, whatever the counters say: the one with fewer kinds of bound, then the
 * wider bound, then the one that lasts longer. The id last, so that the order of grants has no meaning.
 */
function comparePreference(a: IndexedGrant, b: IndexedGrant): number {
  return (
    boundsOf(a) - boundsOf(b) ||
    (a.limit?.interval_us ?? 0) - (b.limit?.interval_us ?? 0) ||
    (b.limit?.burst ?? 0) - (a.limit?.burst ?? 0) ||
    (b.uses ?? 0) - (a.uses ?? 0) ||
    compareNumbers(endOf(b), endOf(a)) ||
    (a.id < b.id ? -1 : 1)
  )
}

function boundsOf({ uses, limit }: IndexedGrant): number {
  return (uses === null ? 0 : 2) + (limit === null ? 0 : 1)
}

/** Subtraction makes NaN of two infinities. */
function compareNumbers(a: number, b: number): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

/**
 * The grant that counts for the subject, or undefined. It is void only if all are that name the subject.
 *
 * At most 259 lookups, each of them a binary search, whatever the policy's size.
 */
export function findGrant(
  table: GrantTable,
  { uid, gid, groups, unit }: Subject,
  nowMs: number,
): IndexedGrant | undefined {
  const { byUid, byGid, byUnit } = table
  let best = pick(undefined, ladderFor(byUid, uid), nowMs)
  if (byGid !== null) {
    if (isUsableId(gid)) best = pick(best, ladderFor(byGid, gid), nowMs)
    for (const group of groups) {
      if (isUsableId(group)) best = pick(best, ladderFor(byGid, group), nowMs)
    }
  }
  return unit === null ? best : pick(best, ladderFor(byUnit, unit), nowMs)
}

function pick(
  best: IndexedGrant | undefined,
  ladder: Ladder | undefined,
  nowMs: number,
): IndexedGrant | undefined {
  const candidate = ladder && firstLive(ladder, nowMs)
  if (candidate === undefined) return best
  if (best === undefined) return candidate
  const isCandidateLive = isLive(candidate, nowMs)
  if (isLive(best, nowMs) !== isCandidateLive) return isCandidateLive ? candidate : best
  return comparePreference(candidate, best) < 0 ? candidate : best
}

/** The first that is not void yet; the last if all are; undefined if there is none. */
function firstLive(ladder: Ladder, nowMs: number): IndexedGrant | undefined {
  if (!isRungs(ladder)) return ladder
  let low = 0
  let high = ladder.length - 1
  while (low < high) {
    const middle = (low + high) >>> 1
    const rung = ladder[middle]
    if (rung !== undefined && isLive(rung, nowMs)) high = middle
    else low = middle + 1
  }
  return ladder[low]
}

function isRungs(ladder: Ladder): ladder is readonly IndexedGrant[] {
  return Array.isArray(ladder)
}
