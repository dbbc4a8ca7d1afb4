/**
 * Decisions without a command: in process, against engines that others embed; and through the socket, at a given rate,
 * with their durable record.
 */
import { execFile, execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Bridge } from './bridge.ts'
import type { Comparison, Figure, Options, Results } from './plan.ts'
import { percentile, ratioOfPercentiles } from './statistics.ts'

/** `rounds`: so many that a 99th percentile means something, and a slow engine ends. */
const sides = [
  { name: 'belladonna', engine: 'belladonna', rules: 10_000, rounds: 200_000 },
  { name: 'itself with 10 rules', engine: 'belladonna', rules: 10, rounds: 200_000 },
  { name: 'casbin', engine: 'casbin', rules: 10_000, rounds: 600 },
  { name: 'cedar-wasm', engine: 'cedar', rules: 10_000, rounds: 200 },
] as const
type Name = (typeof sides)[number]['name']

const what = 'decision in process, 10,000 rules, p99'
/** DESIGN.md section 14, "first" and "goal". */
const firstUs = 5
const timesTheCostAtTen = 3
/** Several processes each: what a compiler of the run happened to do should not decide. */
const turns = 3

type Samples = ReadonlyMap<Name, readonly number[]>

export async function measureDecisions(options: Options): Promise<Results> {
  options.onProgress('decisions in process')
  const samples = new Map<Name, number[]>(sides.map(({ name }) => [name, []]))
  for (let turn = 0; turn < (options.quick ? 1 : turns); turn++) {
    for (const side of sides) {
      const rounds = options.quick ? side.rounds / 10 : side.rounds
      const values = await timeEngine(options, side.engine, side.rules, rounds)
      for (const value of values) samples.get(side.name)?.push(value)
    }
  }
  return { figures: figuresOf(samples), comparisons: comparisonsOf(samples) }
}

async function timeEngine(
  { caller }: Options,
  engine: string,
  rules: number,
  rounds: number,
): Promise<readonly number[]> {
  const program = join(import.meta.dirname, 'decision-engine.ts')
  const args = [program, engine, String(rules), String(rounds)]
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    ...{ maxBuffer: 64 * 1024 * 1024, signal: caller.abort },
  })
  return stdout.trimEnd().split('\n').map(Number)
}

function figuresOf(samples: Samples): readonly Figure[] {
  return [...samples].map(([command, values]) => {
    return { command, what, value: percentile(values, 0.99) / 1000, unit: 'µs' }
  })
}

function comparisonsOf(samples: Samples): readonly Comparison[] {
  const ours = samples.get('belladonna') ?? []
  const limits: Partial<Record<Name, number>> = { 'itself with 10 rules': timesTheCostAtTen }
  const peers = [...samples].filter(([name]) => name !== 'belladonna')
  const absolute = {
    what,
    peer: `${firstUs} µs`,
    ratio: { value: percentile(ours, 0.99) / (firstUs * 1000), spread: null },
    goal: { limit: 1, best: 'low' },
  } as const
  return [
    absolute,
    ...peers.map(([peer, theirs]) => {
      const limit = limits[peer]
      const goal = limit === undefined ? null : ({ limit, best: 'low' } as const)
      return { what, peer, ratio: ratioOfPercentiles(ours, theirs, 0.99), goal }
    }),
  ]
}

// --- through the socket --------------------------------------------------------------------------------------------

const eachSecond = 2000
/** Users, since one alone is held to 32 connections at a time. */
const askers = 4
const socketWhat = `denial through the socket, ${eachSecond}/s, p99`
/** DESIGN.md section 14, "first". */
const firstMs = 20

/** An open loop: a request is due when it is due, and waits for none before it (bench/load.c). */
export async function measureSocket(options: Options, bridge: Bridge): Promise<Results> {
  options.onProgress(`${eachSecond} denials a second`)
  const program = join(options.directory, 'load')
  const checkout = join(import.meta.dirname, '..')
  const sources = ['bench/load.c', 'native/bell/request.c', 'native/bell/sealed.c'].map((path) =>
    join(checkout, path),
  )
  execFileSync('gcc', ['-O2', '-std=c11', '-D_GNU_SOURCE', ...sources, '-o', program])
  const { uid, abort } = options.caller
  const seconds = options.quick ? 2 : 20
  const numbers = [eachSecond / askers, seconds].map(String)
  const outputs = await Promise.all(
    Array.from({ length: askers }, async (_, at) => {
      const id = String(uid + 1 + at) // each may do something else, so it is not a stranger
      const args = [id, id, bridge.socket, 'bench.true', ...numbers]
      const { stdout } = await promisify(execFile)(program, args, {
        ...{ maxBuffer: 64 * 1024 * 1024, signal: abort, env: {} },
      })
      return latenciesOf(stdout)
    }),
  )
  const ms = outputs.flat()
  if (ms.length !== eachSecond * seconds) throw new Error(`load: ${ms.length} answers`)
  const value = percentile(ms, 0.99)
  const ratio = { value: value / firstMs, spread: null }
  return {
    figures: [
      { command: 'bell', what: socketWhat, value, unit: 'ms' },
      {
        command: 'bell',
        what: socketWhat.replace('p99', 'p50'),
        value: percentile(ms, 0.5),
        unit: 'ms',
      },
    ],
    comparisons: [
      { what: socketWhat, peer: `${firstMs} ms`, ratio, goal: { limit: 1, best: 'low' } },
    ],
  }
}

/** Milliseconds. What was turned away at the door was not decided, and counts as never: the row must not flatter. */
function latenciesOf(stdout: string): readonly number[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
    .map(([ns = NaN, decided]) => (decided === 1 ? ns / 1e6 : Infinity))
}
