import type { Automaton } from './automaton.ts'
import type { Determinised } from './determinise.ts'

/**
 * The smallest automaton of the same language, numbered breadth first, with classes that no state tells apart made one.
 *
 * Moore's refinement: states are alike until some column tells them apart. At most `maxAutomatonStates` rounds.
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

/** The block of each state; states from which nothing is accepted are in `deadBlock`. */
function refine(columnCount: number, states: Determinised['states']): readonly number[] {
  let blocks: readonly number[] = states.map((state) => (state.accepting ? 1 : deadBlock))
  let count = 0
  for (;;) {
    // The missing state is dead, and seeds the block that its like falls into.
    const deadKey = [deadBlock, ...Array.from({ length: columnCount }, () => deadBlock)].join(',')
    const keys = new Map([[deadKey, deadBlock]])
    const current = blocks
    blocks = states.map((_, state) => {
      const after = Array.from({ length: columnCount }, (_unused, column) =>
        blockAfter(states, current, state, column),
      )
      const key = [current[state], ...after].join(',')
      const known = keys.get(key) ?? keys.size
      keys.set(key, known)
      return known
    })
    if (keys.size === count) return blocks
    count = keys.size
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
