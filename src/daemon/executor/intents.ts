import { BelladonnaError } from '../../core/error.ts'
import { maxRuns } from './runs.ts'
import type { Run } from './runs.ts'

/** INTEND of a run that the launcher's frame has not told us of yet: two sockets, no common order. */
export type EarlyIntent = { readonly actionDigest: string; entry: number | null }

/** What the broker intends. Receipts are made in its order, so that they and the log's intents come in one. */
export type Intents = Readonly<{
  /** INTEND of a run that we know. */
  add: (run: number) => void
  /** INTEND of one that we do not. */
  addEarly: (run: number, actionDigest: string) => void
  /** RECORDED of one that we do not. */
  recordEarly: (run: number, entry: number) => void
  /** Whether INTEND came of this run, and the run did not. */
  isEarly: (run: number) => boolean
  /** INTEND of this run was of another action: its place is where the next one comes. */
  withdraw: (run: number) => void
  /** What came early of this run. */
  takeEarly: (run: number) => EarlyIntent | null
  /** Runs whose receipt is to be made, up to the first that we do not know yet. */
  due: <R extends Pick<Run, 'stage'>>(runs: ReadonlyMap<number, R>) => readonly R[]
}>

export function openIntents(): Intents {
  const early = new Map<number, EarlyIntent>()
  /** Runs in the order of INTEND. Some are over. */
  let order: number[] = []
  return {
    add: (run) => {
      order.push(run)
    },
    addEarly: (run, actionDigest) => {
      if (early.has(run) || early.size >= maxRuns) throw outOfTurn('intend')
      early.set(run, { actionDigest, entry: null })
      order.push(run)
    },
    recordEarly: (run, entry) => {
      const found = early.get(run)
      if (found?.entry !== null) throw outOfTurn('recorded')
      found.entry = entry
    },
    isEarly: (run) => early.has(run),
    withdraw: (run) => {
      order = order.filter((other) => other !== run)
    },
    takeEarly: (run) => {
      const found = early.get(run) ?? null
      early.delete(run)
      return found
    },
    due: (runs) => {
      const blocked = order.findIndex((run) => early.has(run))
      const ready = blocked < 0 ? order : order.slice(0, blocked)
      order = blocked < 0 ? [] : order.slice(blocked)
      return [...new Set(ready)].flatMap((number) => {
        const run = runs.get(number)
        return run?.stage === 'intended' ? [run] : []
      })
    },
  }
}

function outOfTurn(what: string): BelladonnaError {
  return new BelladonnaError('frame_invalid', `out of turn: ${what}`)
}
