import { startBridge } from './bridge.ts'
import { measureDecisions, measureSocket } from './decisions.ts'
import type { Bridge } from './bridge.ts'
import { measure } from './measure.ts'
import type { Caller, Command, Measured } from './measure.ts'
import * as peers from './peers.ts'
import { measureRecordedOutput } from './recorded-output.ts'
import { percentile, ratioOfPercentiles, ratioPerRound } from './statistics.ts'
import type { Ratio } from './statistics.ts'

/** One figure of one command; `perSecond` where more is better. */
export type Figure = Readonly<{
  command: string
  what: string
  value: number
  unit: 'ms' | 'µs' | 'runs/s' | 'MB/s'
}>

/** bell against a peer. `goal` is the first goal of the design: reached when `value` is not over (or under) it. */
export type Comparison = Readonly<{
  what: string
  peer: string
  ratio: Ratio
  goal: Readonly<{ limit: number; best: 'low' | 'high' }> | null
}>

export type Results = Readonly<{ figures: readonly Figure[]; comparisons: readonly Comparison[] }>

export type Options = Readonly<{
  caller: Caller
  directory: string
  /** Without a bridge: sudo and doas only. */
  peersOnly: boolean
  /** The rows about decisions only. */
  decisionsOnly: boolean
  /** A tenth of the rounds: to see whether everything works. */
  quick: boolean
  onProgress: (text: string) => void
}>

const fewRules = 10
const manyRules = 10_000

/** Measures everything, a group of rows at a time, and leaves no process behind. */
export async function measureAll(options: Options): Promise<Results> {
  const runs = options.decisionsOnly ? [] : await measureRuns(options)
  if (options.peersOnly) return merge(runs)
  const socket = await withBridge(options, fewRules, async (bridge) =>
    bridge === null ? [] : [await measureSocket(options, bridge)],
  )
  return merge([...runs, ...socket, await measureDecisions(options)])
}

function merge(groups: readonly Results[]): Results {
  return {
    figures: groups.flatMap((group) => group.figures),
    comparisons: groups.flatMap((group) => group.comparisons),
  }
}

async function measureRuns(options: Options): Promise<readonly Results[]> {
  const few = await withBridge(options, fewRules, async (bridge) => [
    await measureSingle(options, bridge),
    await measureParallel(options, bridge),
    await measureDenial(options, bridge),
    await measureRecordedOutput(options, bridge),
  ])
  const many = await withBridge(options, manyRules, async (bridge) => [
    await measureManyRules(options, bridge),
  ])
  return [...few, ...many]
}

async function withBridge(
  options: Options,
  rules: number,
  body: (bridge: Bridge | null) => Promise<Results[]>,
): Promise<Results[]> {
  peers.installPeerRules(rules, options.directory)
  if (options.peersOnly) return await body(null)
  options.onProgress(`starting a bridge with ${rules} rules`)
  const bridge = await startBridge(options.directory, options.caller, rules)
  try {
    return await body(bridge)
  } finally {
    await bridge.stop()
  }
}

function rounds(options: Options, count: number): number {
  return options.quick ? Math.ceil(count / 10) : count
}

async function measureSingle(options: Options, bridge: Bridge | null): Promise<Results> {
  options.onProgress('one at a time')
  const shape = { rounds: rounds(options, 1000), warmUp: 20, parallel: 1, batch: 1 }
  const commands = [...optional(bridge?.permitted), peers.sudo, peers.doas]
  const measured = await measure(options.caller, shape, commands)
  const sandboxed = await measure(options.caller, { ...shape, rounds: rounds(options, 200) }, [
    ...optional(bridge?.permitted),
    peers.sudoBwrap,
  ])
  const goals = { p50: { 'sudo -n': 0.45 }, p99: { 'sudo -n': 1 } }
  return {
    figures: [
      ...times('p50', measured, 0.5),
      ...times('p99', measured, 0.99),
      ...times('p50, own run', sandboxed, 0.5),
    ],
    comparisons: [
      ...compareMedians('p50', measured, goals.p50),
      ...comparePercentiles('p99', measured, 0.99, goals.p99),
      ...compareMedians('p50', sandboxed, {}),
    ],
  }
}

async function measureParallel(options: Options, bridge: Bridge | null): Promise<Results> {
  options.onProgress('eight at once')
  const shape = { rounds: rounds(options, 12), warmUp: 1, parallel: 8, batch: 160 }
  const commands = [...optional(bridge?.permitted), peers.sudo, peers.doas]
  const measured = await measure(options.caller, shape, commands)
  const rates = new Map(
    [...measured].map(([name, values]) => [name, values.map((ns) => (shape.batch * 1e9) / ns)]),
  )
  const what = 'runs/s, 8 at once'
  return {
    figures: [...rates].map(([command, values]) => {
      return { command, what, value: percentile(values, 0.5), unit: 'runs/s' }
    }),
    comparisons: compareMedians(what, rates, { 'sudo -n': 2 }, 'high'),
  }
}

async function measureDenial(options: Options, bridge: Bridge | null): Promise<Results> {
  options.onProgress('denials')
  const shape = { rounds: rounds(options, 600), warmUp: 20, parallel: 1, batch: 1 }
  const commands = [...optional(bridge?.denied), peers.sudoDenied, peers.doasDenied]
  const measured = await measure(options.caller, shape, commands)
  return {
    figures: [...times('denial, p50', measured, 0.5), ...times('denial, p99', measured, 0.99)],
    comparisons: compareMedians('denial, p50', measured, { 'sudo -n': 0.25 }),
  }
}

/** doas takes most of a second here, so it gets a run of its own with few rounds. */
async function measureManyRules(options: Options, bridge: Bridge | null): Promise<Results> {
  options.onProgress(`${manyRules} rules`)
  const shape = { rounds: rounds(options, 300), warmUp: 5, parallel: 1, batch: 1 }
  const ours = optional(bridge?.permitted)
  const measured = await measure(options.caller, shape, [...ours, peers.sudo])
  const slow = { ...shape, rounds: rounds(options, 24), warmUp: 1 }
  const withDoas = await measure(options.caller, slow, [...ours, peers.doas])
  const what = '10,000 rules, p50'
  return {
    figures: [...times(what, measured, 0.5), ...times(`${what}, own run`, withDoas, 0.5)],
    comparisons: [
      ...compareMedians(what, measured, { 'sudo -n': 0.08 }),
      ...compareMedians(what, withDoas, {}),
    ],
  }
}

function optional(command: Command | undefined): readonly Command[] {
  return command === undefined ? [] : [command]
}

function times(what: string, measured: Measured, share: number): readonly Figure[] {
  return [...measured].map(([command, values]) => {
    return { command, what, value: percentile(values, share) / 1e6, unit: 'ms' }
  })
}

type Goals = Readonly<Record<string, number>>

function compareWith(
  what: string,
  measured: Measured,
  goals: Goals,
  best: 'low' | 'high',
  ratioOf: (ours: readonly number[], theirs: readonly number[]) => Ratio,
): readonly Comparison[] {
  const ours = measured.get('bell')
  if (ours === undefined) return []
  return [...measured]
    .filter(([peer]) => peer !== 'bell')
    .map(([peer, theirs]) => {
      const limit = goals[peer]
      return {
        what,
        peer,
        ratio: ratioOf(ours, theirs),
        goal: limit === undefined ? null : { limit, best },
      }
    })
}

function compareMedians(
  what: string,
  measured: Measured,
  goals: Goals,
  best: 'low' | 'high' = 'low',
): readonly Comparison[] {
  return compareWith(what, measured, goals, best, ratioPerRound)
}

function comparePercentiles(
  what: string,
  measured: Measured,
  share: number,
  goals: Goals,
): readonly Comparison[] {
  return compareWith(what, measured, goals, 'low', (ours, theirs) =>
    ratioOfPercentiles(ours, theirs, share),
  )
}
