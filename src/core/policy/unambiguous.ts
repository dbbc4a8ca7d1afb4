import { classify, stepsOf } from './determinise.ts'
import type { Step } from './determinise.ts'
import type { PatternNode } from './pattern.ts'

/** Of places of a pattern that are reached by one text, so many pairs are looked at. */
const maxPairs = 20_000

/**
 * Whether a pattern matches each text in one way only, counted by a matcher that goes back and tries again. Then such a matcher
 * has at most one way to each place of the pattern for what it has read so far: its work grows with the length of the text, and
 * no faster. `(a+)+`, `(a|a)*` and `.*x.*` are not so; the first two take time that doubles with each character.
 *
 * false also where there is too much to look at.
 *
 * @see Weideman and others, "Analyzing Matching Time Behavior of Backtracking Regular Expression Matchers", 2016
 */
export function isUnambiguous(pattern: PatternNode): boolean {
  const { steps, start } = stepsOf(pattern)
  const ways = steps.map(({ set, next }) => (set === null ? [] : waysFrom(steps, next)))
  const first = waysFrom(steps, [start])
  const known = [...ways, first].filter((list) => list !== null)
  if (known.length <= ways.length) return false
  return !meetAgain(steps, known)
}

/** The steps that read, or the end, that are reached without reading; null: one of them in two ways. */
function waysFrom(steps: readonly Step[], from: readonly number[]): readonly number[] | null {
  const found: number[] = []
  const seen = new Set<number>()
  const queue = [...from]
  for (const index of queue) {
    if (seen.has(index)) return null
    seen.add(index)
    const [step] = steps.slice(index, index + 1)
    if (index !== 0 && step?.set === null) queue.push(...step.next)
    else found.push(index)
  }
  return found
}

/** Whether two ways that part come to one place again with one text, so that it is matched in two. */
function meetAgain(steps: readonly Step[], ways: readonly (readonly number[])[]): boolean {
  const { readsOf } = classify(steps)
  const reads = steps.map(({ set }) => readsOf(set))
  const seen = new Set<number>()
  const queue: (readonly [number, number])[] = []
  const add = (a: number, b: number): void => {
    const [low, high] = a < b ? [a, b] : [b, a]
    const key = low * steps.length + high
    if (seen.has(key) || reads[low]?.some((member) => reads[high]?.includes(member)) !== true)
      return
    seen.add(key)
    queue.push([low, high])
  }
  for (const list of ways) list.forEach((a, at) => list.slice(at + 1).forEach((b) => add(a, b)))
  for (const [a, b] of queue) {
    for (const next of ways.slice(a, a + 1).flat()) {
      for (const other of ways.slice(b, b + 1).flat()) {
        if (next === other) return true
        add(next, other)
      }
    }
    if (seen.size > maxPairs) return true
  }
  return false
}
