import type { Automaton } from './automaton.ts'
import { unionOf } from './code-points.ts'
import type { CodePointRange, CodePointSet } from './code-points.ts'
import type { PatternAtom, PatternNode } from './pattern.ts'

/** The largest table, in states, and the longest pattern that is made, in sets. */
const maxStates = 128
const maxSets = 400

/** What is between two states: a pattern, and how many sets are in it. */
type Edge = Readonly<{ node: PatternNode; sets: number }>
/** By the state where it begins, then the one where it ends. */
type Graph = readonly Map<number, Edge>[]

/**
 * A pattern of a table's language that matches each text in one way only: states are taken out one by one, and what led through
 * one stands beside what led past it. Of a deterministic automaton those are different texts.
 *
 * @param free characters that may count as any, since a text with them is refused anyway: that makes sets shorter
 * @returns null where it would be too long
 * @see Brzozowski and McCluskey, "Signal Flow Graph Techniques for Sequential Circuit State Diagrams", 1963
 */
export function patternOfTable(table: Automaton, free: CodePointSet): PatternNode | null {
  const count = table.transitions.length / table.class_count
  if (count > maxStates) return null
  const [start, end] = [count, count + 1]
  const nothing = { node: { kind: 'sequence', parts: [] }, sets: 0 } as const
  const states = Array.from({ length: count }, (_, state) => state)
  const graph: Graph = [
    ...states.map((state) => edgesOf(table, state, free)),
    new Map([[0, nothing]]),
  ]
  for (const state of table.accepting) {
    for (const edges of graph.slice(state, state + 1)) edges.set(end, nothing)
  }
  const left = new Set(states)
  while (left.size > 0) {
    const state = cheapestOf(graph, left)
    left.delete(state)
    if (!isTakenOut(graph, state)) return null
  }
  return edgesFrom(graph, start).reduce<PatternNode | null>((_, [, { node }]) => node, null)
}

function edgesFrom(graph: Graph, state: number): readonly (readonly [to: number, edge: Edge])[] {
  return graph.slice(state, state + 1).flatMap((edges) => [...edges])
}

/** The characters that lead from a state to each other; the largest set gets what is free. */
function edgesOf(table: Automaton, state: number, free: CodePointSet): Map<number, Edge> {
  const ranges = new Map<number, CodePointRange[]>()
  for (const [at, first] of table.starts.entries()) {
    const next = Number(table.transitions[state * table.class_count + Number(table.classes[at])])
    if (next < 0) continue
    const last = Number(table.starts[at + 1]) - 1 // the last range is of what no value holds
    ranges.set(next, [...(ranges.get(next) ?? []), [first, last]])
  }
  const sets = [...ranges].map(([next, found]) => [next, unionOf(found)] as const)
  const most = Math.max(0, ...sets.map(([, set]) => set.length))
  const widest = sets.find(([, set]) => set.length === most && most > free.length / 2)?.[0]
  return new Map(
    sets.map(([next, set]) => {
      const whole = next === widest ? unionOf([...set, ...free]) : set
      return [next, { node: { kind: 'set', set: whole }, sets: 1 }]
    }),
  )
}

/** The state of which the fewest sets are written anew. */
function cheapestOf(graph: Graph, left: ReadonlySet<number>): number {
  let [cheapest, least] = [0, Infinity]
  for (const state of left) {
    const into = graph.filter((edges) => edges.has(state)).length
    const sizes = edgesFrom(graph, state).reduce((sum, [, { sets }]) => sum + sets, 0)
    if (into * sizes < least) [cheapest, least] = [state, into * sizes]
  }
  return cheapest
}

/** false: some pattern became too long. */
function isTakenOut(graph: Graph, state: number): boolean {
  const from = edgesFrom(graph, state)
  const loops = from.filter(([to]) => to === state).map(([, loop]) => repeated(loop))
  for (const edges of graph.toSpliced(state, 1)) {
    const into = edges.get(state)
    if (into === undefined) continue
    edges.delete(state)
    for (const [next, out] of from) {
      if (next === state) continue
      const through = join([into, ...loops, out])
      const past = edges.get(next)
      const both = past === undefined ? through : either(past, through)
      if (both.sets > maxSets) return false
      edges.set(next, both)
    }
  }
  graph.slice(state, state + 1).forEach((edges) => edges.clear())
  return true
}

function join(edges: readonly Edge[]): Edge {
  const parts = edges.flatMap(({ node }) => (node.kind === 'sequence' ? node.parts : [node]))
  const sets = edges.reduce((sum, edge) => sum + edge.sets, 0)
  return { node: parts.length === 1 && parts[0] ? parts[0] : { kind: 'sequence', parts }, sets }
}

function either(a: Edge, b: Edge): Edge {
  const options = [a.node, b.node].flatMap((node) =>
    node.kind === 'choice' ? node.options : [node],
  )
  return { node: { kind: 'choice', options }, sets: a.sets + b.sets }
}

function repeated({ node, sets }: Edge): Edge {
  const part: PatternAtom =
    node.kind === 'set' || node.kind === 'choice' ? node : { kind: 'choice', options: [node] }
  return { node: { kind: 'repeat', part, min: 0, max: null }, sets }
}
