import type { Automaton } from './automaton.ts'
import type { Determinised } from './determinise.ts'

/**
 * The smallest automaton of the same language, numbered breadth first, with classes that no state tells apart made one.
 *
 * Hopcroft's refinement: states are alike until some column tells them apart. A chain of n states costs n log n, not n².
 *
 * @see Hopcroft, "An n log n algorithm for minimizing states in a finite automaton", 1971
 */
export function minimise({ starts, classes, classCount, states }: Determinised): Automaton {
  const blocks = refine(classCount, states)
  const order = breadthFirst(classes, states, blocks)
  const numbers = new Map(order.map((state, number) => [blocks[state], number]))
  // The block of states from which no accepting one is reached gets no number: it is the −1 of the table.
  const rows = order.map((state) =>
    Array.from(
      { length: classCount },
      (_, column) => numbers.get(blockAfter(states, blocks, state, column)) ?? -1,
    ),
  )
  const accepting = [...order.keys()].filter((number) => states[Number(order[number])]?.accepting)
  return { ...mergeColumns(starts, classes, rows), accepting }
}

const deadBlock = 0

/** Blocks of states that nothing has told apart yet. A state's block is a number, and the list of its members. */
type Partition = { readonly blocks: number[]; readonly members: number[][] }

/** The block of each state; states from which nothing is accepted are in `deadBlock`. */
function refine(columnCount: number, states: Determinised['states']): readonly number[] {
  const dead = states.length // the missing state, which seeds the block that its like falls into
  const before = predecessorsOf(columnCount, states)
  const all = [...states.keys()]
  const accepting = all.filter((state) => states[state]?.accepting === true)
  const others = all.filter((state) => states[state]?.accepting !== true)
  const blocks = [...states.map(({ accepting: is }) => (is ? 1 : deadBlock)), deadBlock]
  const partition: Partition = { blocks, members: [[...others, dead], accepting] }
  const waiting = new Set([deadBlock, 1])
  for (const block of waiting) {
    waiting.delete(block)
    const splitter = membersOf(partition, block)
    for (const column of before) {
      const reaching = splitter.flatMap((state) => column[state] ?? [])
      splitBy(partition, reaching, waiting)
    }
  }
  // Counted from the block of the missing state, so that this one is `deadBlock`.
  const deadNow = Number(blocks[dead])
  return all.map((state) => Number(blocks[state]) - deadNow)
}

/** A copy: what is in the block may change while somebody goes through it. */
function membersOf({ members }: Partition, block: number): readonly number[] {
  return members.slice(block, block + 1).flat()
}

/** By column and state: the states that lead there. */
function predecessorsOf(
  columnCount: number,
  states: Determinised['states'],
): readonly (readonly (readonly number[] | undefined)[])[] {
  const dead = states.length
  return Array.from({ length: columnCount }, (_, column) => {
    const into: number[][] = []
    for (const [state, { next }] of [...states, { next: new Map<number, number>() }].entries()) {
      const to = next.get(column) ?? dead
      const list = into[to]
      if (list === undefined) into[to] = [state]
      else list.push(state)
    }
    return into
  })
}

/** Parts each block into the states of `reaching` and the rest. The smaller part, at least, is to split others. */
function splitBy(partition: Partition, reaching: readonly number[], waiting: Set<number>): void {
  const { blocks, members } = partition
  const found = new Map<number, number[]>()
  for (const state of reaching) {
    const block = Number(blocks[state])
    const list = found.get(block)
    if (list === undefined) found.set(block, [state])
    else list.push(state)
  }
  for (const [block, inside] of found) {
    const whole = membersOf(partition, block)
    if (inside.length === whole.length) continue
    const moved = new Set(inside)
    const rest = whole.filter((state) => !moved.has(state))
    const [small, large] = inside.length < rest.length ? [inside, rest] : [rest, inside]
    // The smaller part gets the new number, which waits in any case; the larger keeps its own, and its place in the queue.
    const fresh = members.push(small) - 1
    members[block] = large
    for (const state of small) blocks[state] = fresh
    waiting.add(fresh)
  }
}

function blockAfter(
  states: Determinised['states'],
  blocks: readonly number[],
  state: number,
  column: number,
): number {
  const next = states[state]?.next.get(column)
  return next === undefined ? deadBlock : Number(blocks[next])
}

/** One state of each live block, in the order in which the columns reach them from the start. */
function breadthFirst(
  classes: readonly number[],
  states: Determinised['states'],
  blocks: readonly number[],
): readonly number[] {
  const seen = new Set([blocks[0], deadBlock])
  const order = [0]
  for (const state of order) {
    // In the order of the characters, not of the classes: the numbers must not depend on how these were found.
    for (const column of classes) {
      const next = states[state]?.next.get(column)
      if (next === undefined || seen.has(blocks[next])) continue
      seen.add(blocks[next])
      order.push(next)
    }
  }
  return order
}

type Columns = Pick<Automaton, 'starts' | 'classes' | 'class_count' | 'transitions'>

function mergeColumns(
  starts: readonly number[],
  columns: readonly number[],
  rows: readonly (readonly number[])[],
): Columns {
  const classNumbers = new Map<string, number>()
  const keptColumns: number[] = []
  const keptStarts: number[] = []
  const classes: number[] = []
  for (const [range, start] of starts.entries()) {
    const column = Number(columns[range])
    const key = rows.map((row) => row[column]).join()
    const known = classNumbers.get(key) ?? keptColumns.push(column) - 1
    classNumbers.set(key, known)
    if (classes.at(-1) === known) continue
    keptStarts.push(start)
    classes.push(known)
  }
  return {
    starts: keptStarts,
    classes,
    class_count: keptColumns.length,
    transitions: rows.flatMap((row) => keptColumns.map((column) => Number(row[column]))),
  }
}
