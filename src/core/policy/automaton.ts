import { BelladonnaError } from '../error.ts'
import { valueAlphabet } from './code-points.ts'
import type { TextOptions } from './code-points.ts'
import { determinise } from './determinise.ts'
import { minimise } from './minimise.ts'
import { parsePattern } from './pattern.ts'

/**
 * A deterministic automaton over Unicode code points, minimal and numbered breadth first: one table for each language,
 * however its pattern was written. State 0 is the start, −1 is the state that nothing leaves.
 *
 * The members are those of the compiled policy's JSON.
 */
export type Automaton = Readonly<{
  /** Ascending; range n holds the code points from `starts[n]` to just below `starts[n + 1]`. The first is 0. */
  starts: readonly number[]
  /** The class of each range. */
  classes: readonly number[]
  class_count: number
  /** `transitions[state * class_count + class]` is the next state, or −1. */
  transitions: readonly number[]
  /** Accepting states, ascending. */
  accepting: readonly number[]
}>

/** What became of a pattern. */
export type CompiledMatch =
  Readonly<{ kind: 'compiled'; table: Automaton }> | Readonly<{ kind: 'invalid'; message: string }>

/** Compiles a pattern to the table that broker and executor run. It always matches the whole value. */
export function compileMatch(pattern: string, options: TextOptions): CompiledMatch {
  try {
    return {
      kind: 'compiled',
      table: minimise(determinise(parsePattern(pattern, valueAlphabet(options)))),
    }
  } catch (error) {
    if (!(error instanceof BelladonnaError)) throw error
    return { kind: 'invalid', message: error.message }
  }
}

/** Whether the whole value is in the automaton's language: one step for each character, whatever the pattern. */
export function matches(table: Automaton, value: string): boolean {
  let state = 0
  for (const character of value) {
    const next =
      table.transitions[state * table.class_count + classOf(table, character.codePointAt(0))]
    if (next === undefined || next < 0) return false
    state = next
  }
  return table.accepting.includes(state)
}

/** Whether some value that the automaton accepts holds the character: nothing leads to a state that accepts nothing. */
export function isRead(table: Automaton, character: string): boolean {
  const column = classOf(table, character.codePointAt(0))
  return table.transitions.some((next, at) => next >= 0 && at % table.class_count === column)
}

/** NaN, which leads nowhere, if the table has no class for the character. */
function classOf(table: Automaton, point: number | undefined): number {
  let low = 0
  let high = table.starts.length
  while (high - low > 1) {
    const middle = (low + high) >>> 1
    const start = table.starts[middle]
    if (point === undefined || start === undefined || start > point) high = middle
    else low = middle
  }
  return Number(table.classes[low])
}
