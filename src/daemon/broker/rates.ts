import type { CounterChanges } from '../../core/policy/decide.ts'

/** The states of all rates (`applyRate`). They are the broker's alone and begin anew with it: SECURITY.md says so. */
export type Rates = Readonly<{
  states: ReadonlyMap<string, number>
  take: (change: CounterChanges['rate'], nowMs: number) => void
}>

/** @param tidyAt how many states there may be before those that say nothing any more are forgotten */
export function openRates(tidyAt = 16_384): Rates {
  const states = new Map<string, number>()
  let limit = tidyAt
  return {
    states,
    take: (change, nowMs) => {
      if (change === null) return
      states.set(change.key, change.tatUs)
      if (states.size <= limit) return
      for (const [key, tatUs] of states) if (tatUs <= nowMs * 1000) states.delete(key)
      // So that tidying costs little however many are in use.
      limit = Math.max(tidyAt, 2 * states.size)
    },
  }
}
