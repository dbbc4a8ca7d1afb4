import { BelladonnaError } from '../error.ts'
import type { CodePointSet } from './code-points.ts'
import type { PatternNode } from './pattern.ts'

/** Most states before the automaton is made deterministic, and after. */
export const maxAutomatonStates: number = 2048

/** A deterministic automaton over classes of characters; a missing transition is absent. */
export type Determinised = Readonly<{
  /** Where each range of characters begins, ascending from 0. */
  starts: readonly number[]
  /** The class of each range. */
  classes: readonly number[]
  classCount: number
  states: readonly Readonly<{ next: ReadonlyMap<number, number>; accepting: boolean }>[]
}>

/** A state that reads one character of `set`, or none (`set` null) on the way to each of `next`. Step 0 is the end. */
export type Step = { set: CodePointSet | null; next: number[] }

/** A set of steps, a bit for each: the union of two is a few words' work. */
type StepSet = Uint32Array

/**
 * Thompson's construction and then the subset construction, both under a cap.
 *
 * @throws {BelladonnaError} `input_invalid` when the pattern needs more than `maxAutomatonStates`
 */
export function determinise(pattern: PatternNode): Determinised {
  const { steps, start } = stepsOf(pattern)
  const { starts, classes, classCount, readsOf } = classify(steps)
  // Which classes a step reads, and what is reached behind it without reading more: made once for each step.
  const moves = steps.map(({ set, next }) => ({
    reads: readsOf(set),
    follow: closureOf(steps, next),
  }))
  const numbers = new Map<string, number>()
  const queue: StepSet[] = []
  const numberOf = (subset: StepSet): number => {
    const key = subset.join()
    const known = numbers.get(key)
    if (known !== undefined) return known
    checkSize(numbers.size)
    numbers.set(key, queue.length)
    return queue.push(subset) - 1
  }
  numberOf(closureOf(steps, [start]))
  const states: { next: Map<number, number>; accepting: boolean }[] = []
  for (const subset of queue) {
    const targets = new Map<number, StepSet>()
    for (const [index, { reads, follow }] of moves.entries()) {
      if (!has(subset, index)) continue
      for (const member of reads) {
        const target = targets.get(member) ?? new Uint32Array(subset.length)
        targets.set(member, target)
        addAll(target, follow)
      }
    }
    const next = new Map([...targets].map(([member, target]) => [member, numberOf(target)]))
    states.push({ next, accepting: has(subset, 0) })
  }
  return { starts, classes, classCount, states }
}

/**
 * Thompson's construction.
 *
 * @throws {BelladonnaError} `input_invalid`, as `determinise` does
 */
export function stepsOf(pattern: PatternNode): Readonly<{ steps: readonly Step[]; start: number }> {
  const steps: Step[] = [{ set: null, next: [] }]
  const start = build(steps, pattern, 0)
  return { steps, start }
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

/** All steps that are reached from `from` without reading: those that read, and the end. */
function closureOf(steps: readonly Step[], from: readonly number[]): StepSet {
  const closure = new Uint32Array(Math.ceil(steps.length / 32))
  const seen = new Set(from)
  for (const index of seen) {
    const [step] = steps.slice(index, index + 1)
    if (index !== 0 && step?.set === null) step.next.forEach((next) => seen.add(next))
    else closure.set([Number(closure[index >>> 5]) | (1 << (index & 31))], index >>> 5)
  }
  return closure
}

function has(set: StepSet, index: number): boolean {
  return (Number(set[index >>> 5]) & (1 << (index & 31))) !== 0
}

function addAll(target: StepSet, added: StepSet): void {
  for (let word = 0; word < target.length; word += 1) {
    target[word] = Number(target[word]) | Number(added[word])
  }
}

export type Classification = Pick<Determinised, 'starts' | 'classes' | 'classCount'> &
  Readonly<{
    /** The classes that a step with this set reads. */ readsOf: (
      set: CodePointSet | null,
    ) => readonly number[]
  }>

/** Sorts all characters into classes that no set of the pattern tells apart. */
export function classify(steps: readonly Step[]): Classification {
  const sets = [...new Map(steps.map(({ set }) => [JSON.stringify(set), set ?? []])).values()]
  const edges = sets.flatMap((set) => set.flatMap(([first, last]) => [first, last + 1]))
  const starts = [...new Set([0, ...edges])].filter((start) => start <= 0x10ffff)
  starts.sort((a, b) => a - b)
  const numbers = new Map<string, number>()
  const sample: number[] = []
  const classes = starts.map((start) => {
    const key = sets.map((set) => (contains(set, start) ? 1 : 0)).join('')
    const known = numbers.get(key) ?? sample.push(start) - 1
    numbers.set(key, known)
    return known
  })
  const readsOf = (set: CodePointSet | null): readonly number[] =>
    [...sample.keys()].filter((member) => contains(set, Number(sample[member])))
  return { starts, classes, classCount: sample.length, readsOf }
}

function contains(set: CodePointSet | null, point: number): boolean {
  return set !== null && set.some(([first, last]) => first <= point && point <= last)
}
