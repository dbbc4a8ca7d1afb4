import { BelladonnaError } from '../error.ts'
import type { CodePointSet } from './code-points.ts'
import type { PatternNode } from './pattern.ts'

/** Most states before the automaton is made deterministic, and after. */
export const maxAutomatonStates: number = 2048

/** A deterministic automaton with a column for each range of `starts`; a missing transition is absent. */
export type Determinised = Readonly<{
  starts: readonly number[]
  states: readonly Readonly<{ next: ReadonlyMap<number, number>; accepting: boolean }>[]
}>

/** A state that reads one character of `set`, or none (`set` null) on the way to each of `next`. */
type Step = { set: CodePointSet | null; next: number[] }

/**
 * Thompson's construction and then the subset construction, both under a cap.
 *
 * @throws {BelladonnaError} `input_invalid` when the pattern needs more than `maxAutomatonStates`
 */
export function determinise(pattern: PatternNode): Determinised {
  const steps: Step[] = [{ set: null, next: [] }] // step 0 is the end
  const start = build(steps, pattern, 0)
  const starts = startsOf(steps)
  const columns = steps.map((step) => columnsOf(starts, step.set))
  const numbers = new Map<string, number>()
  const queue: (readonly number[])[] = []
  const numberOf = (subset: readonly number[]): number => {
    const key = subset.join(',')
    const known = numbers.get(key)
    if (known !== undefined) return known
    checkSize(numbers.size)
    numbers.set(key, queue.length)
    return queue.push(subset) - 1
  }
  numberOf(closureOf(steps, [start]))
  const states: { next: Map<number, number>; accepting: boolean }[] = []
  for (const subset of queue) {
    const targets = new Map<number, number[]>()
    for (const index of subset) {
      for (const column of columns[index] ?? []) {
        targets.set(column, [...(targets.get(column) ?? []), ...(steps[index]?.next ?? [])])
      }
    }
    const next = new Map<number, number>()
    for (const [column, to] of targets) next.set(column, numberOf(closureOf(steps, to)))
    states.push({ next, accepting: subset.includes(0) })
  }
  return { starts, states }
}

/** Adds the steps that match `node` and then go on at `to`; returns the first. */
function build(steps: Step[], node: PatternNode, to: number): number {
  switch (node.kind) {
    case 'set':
      return add(steps, node.set, [to])
    case 'sequence':
      return node.parts.reduceRight((next, part) => build(steps, part, next), to)
    case 'choice':
      return add(
        steps,
        null,
        node.options.map((option) => build(steps, option, to)),
      )
    case 'repeat':
      return buildRepeat(steps, node.part, node.min, node.max, to)
  }
}

function buildRepeat(
  steps: Step[],
  part: PatternNode,
  min: number,
  max: number | null,
  to: number,
): number {
  let first = to
  if (max === null) {
    const next = [to]
    first = add(steps, null, next)
    next.push(build(steps, part, first))
  } else {
    for (let count = min; count < max; count += 1) {
      first = add(steps, null, [to, build(steps, part, first)])
    }
  }
  for (let count = 0; count < min; count += 1) first = build(steps, part, first)
  return first
}

function add(steps: Step[], set: CodePointSet | null, next: number[]): number {
  checkSize(steps.length)
  return steps.push({ set, next }) - 1
}

function checkSize(states: number): void {
  if (states < maxAutomatonStates) return
  throw new BelladonnaError(
    'input_invalid',
    `the pattern needs more than ${String(maxAutomatonStates)} states`,
  )
}

/** All steps that are reached without reading: those that read, and the end. Ascending. */
function closureOf(steps: readonly Step[], from: readonly number[]): readonly number[] {
  const seen = new Set(from)
  const kept: number[] = []
  for (const index of seen) {
    const step = steps[index]
    if (step?.set === null && index !== 0) step.next.forEach((next) => seen.add(next))
    else kept.push(index)
  }
  return kept.sort((a, b) => a - b)
}

/** The code points at which some set begins or ends: between two of them all characters are alike. */
function startsOf(steps: readonly Step[]): readonly number[] {
  const starts = new Set([0])
  for (const { set } of steps) {
    for (const [first, last] of set ?? []) starts.add(first).add(last + 1)
  }
  starts.delete(0x110000)
  return [...starts].sort((a, b) => a - b)
}

function columnsOf(starts: readonly number[], set: CodePointSet | null): readonly number[] {
  return [...starts.keys()].filter((column) =>
    set?.some(([first, last]) => {
      const start = starts[column]
      return start !== undefined && first <= start && start <= last
    }),
  )
}
