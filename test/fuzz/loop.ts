/**
 * Fuzzes one target in TypeScript, led by the coverage of branches, and prints what came of it as a line of JSON:
 *
 *     node test/fuzz/loop.ts TARGET SECONDS SEED [CORPUS-FILE]      or      node test/fuzz/loop.ts TARGET --replay FILE
 *
 * A process of its own, since it takes V8's coverage for itself.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { watchBranches } from './branches.ts'
import type { BranchCoverage } from './branches.ts'
import { besideNumbers, mutate, openDraw } from './mutate.ts'
import type { Draw } from './mutate.ts'
import { openTarget, scriptTargets } from './target.ts'
import type { Target } from './target.ts'

/** What became of a run. `finding` is the input at which a claim did not hold. */
export type ScriptOutcome = Readonly<{
  executions: number
  edges: number
  newEdges: number
  finding: Readonly<{ input: string; error: string }> | null
}>

/** Asking for coverage costs as much as some executions, so it is asked once for so many. */
const round = 16
const longestInput = 16_384
/** A single execution that takes more of a processor is a finding: what a policy's author writes may not stop the bridge. */
const limitMs = 10_000

function attempt(target: Target, input: string, draw: Draw): string | undefined {
  const start = process.cpuUsage()
  try {
    target.run(input, draw)
  } catch (error) {
    return error instanceof Error
      ? `${error.name}: ${error.message}\n${error.stack ?? ''}`
      : String(error)
  }
  return process.cpuUsage(start).user / 1000 > limitMs ? `took over ${limitMs} ms` : undefined
}

/** Those of the inputs after which there is more coverage than before. */
function newOnes(target: Target, inputs: readonly string[], coverage: BranchCoverage): string[] {
  if (coverage.takeNew() === 0) return []
  const kept = inputs.filter((input) => {
    attempt(target, input, openDraw(1))
    return coverage.takeNew() > 0
  })
  // Which of them it was cannot always be told: together they ran a branch in another way than each alone.
  return kept.length > 0 ? kept : inputs.slice(0, 1)
}

function fuzzScript(target: Target, seconds: number, seed: number, kept: string[]): ScriptOutcome {
  using coverage = watchBranches(new URL('../../src/', import.meta.url).href)
  const draw = openDraw(seed)
  const corpus = [...target.seeds, ...kept]
  let executions = 0
  const findings: NonNullable<ScriptOutcome['finding']>[] = []
  const runAll = (inputs: readonly string[], isLast = false): void => {
    for (const input of inputs) {
      executions += 1
      const error = attempt(target, input, draw)
      if (error !== undefined) findings.push({ input, error })
    }
    const error = attempt({ ...target, run: () => target.endRound?.(isLast) }, '', draw)
    if (error !== undefined) findings.push({ input: inputs.join('\n'), error })
  }
  runAll(corpus)
  coverage.takeNew()
  const before = coverage.count()
  const beside = besideNumbers(target.seeds)
  const endMs = performance.now() + seconds * 1000
  while (findings.length === 0 && performance.now() < endMs) {
    const inputs = Array.from({ length: round }, (_, at) => {
      const next = at % 2 === 0 ? beside.next() : undefined
      return next?.value ?? mutantOf(draw, corpus, target.words)
    })
    runAll(inputs)
    const fresh = newOnes(target, inputs, coverage)
    corpus.push(...fresh)
    kept.push(...fresh)
  }
  runAll([], true)
  return {
    executions,
    edges: coverage.count(),
    newEdges: coverage.count() - before,
    finding: findings[0] ?? null,
  }
}

/** Of younger inputs more: they have just shown something new. */
function mutantOf(draw: Draw, corpus: readonly string[], words: readonly string[]): string {
  const at =
    draw(3) === 0 ? corpus.length - 1 - draw(Math.min(20, corpus.length)) : draw(corpus.length)
  return mutate(draw, corpus[at] ?? '', { words, others: corpus }).slice(0, longestInput)
}

if (import.meta.main) {
  const [name, second = '1', third = '', fourth] = process.argv.slice(2)
  const known = scriptTargets.find((target) => target === name)
  if (known === undefined)
    throw new Error(`usage: loop.ts ${scriptTargets.join('|')} SECONDS SEED [FILE]`)
  const target = openTarget(known)
  if (second === '--replay') {
    target.run(readFileSync(third, 'utf8'), openDraw(1))
    target.endRound?.(true)
    console.log('nothing was found')
  } else {
    const kept: string[] =
      fourth !== undefined && existsSync(fourth) ? JSON.parse(readFileSync(fourth, 'utf8')) : []
    const outcome = fuzzScript(target, Number(second), Number(third), kept)
    if (fourth !== undefined) writeFileSync(fourth, JSON.stringify(kept))
    console.log(JSON.stringify(outcome))
  }
}
