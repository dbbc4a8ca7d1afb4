/** Runs one libFuzzer target of native/fuzz for a bounded time. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkout, seedsOf } from './seeds.ts'
import type { NativeTarget } from './seeds.ts'

/** What became of a run. `reproducer` is the input that broke a claim or crashed. */
export type NativeOutcome = Readonly<{
  executions: number
  edges: number
  newEdges: number
  reproducer: string | null
  output: string
}>

type Options = Readonly<{
  target: NativeTarget
  seconds: number
  /** It ends after so many executions, if there are so many in that time. */
  runs?: number
  /** The same numbers give the same mutations. */
  seed: number
  /** The name of a program with a planted bug, instead of the target's own. */
  program?: string
  /** Where inputs that reach something new are kept between runs. Without it they are lost. */
  corpus?: string
  /** Where a reproducer goes. */
  found: string
}>

/** The longest input: two PREPAREs with all that they may have would be more, and slower. */
const maxLength: Readonly<Record<NativeTarget, number>> = {
  session: 16_384,
  child: 8192,
  boot: 16_384,
  answer: 4200,
  relay: 2048,
}

/** A program of native/out/fuzz. */
export function fuzzProgram(name: string): string {
  return join(checkout, 'native/out/fuzz', name)
}

export async function fuzzNative(options: Options): Promise<NativeOutcome> {
  const { target, seconds, seed, found } = options
  const scratch = mkdtempSync(join(tmpdir(), 'belladonna-fuzz.'))
  const seeds = join(scratch, 'seeds')
  const corpus = options.corpus ?? join(scratch, 'corpus')
  try {
    for (const path of [seeds, corpus, found]) mkdirSync(path, { recursive: true })
    for (const [at, bytes] of seedsOf(target).entries()) writeFileSync(join(seeds, `${at}`), bytes)
    const before = new Set(readdirSync(found))
    const args = [
      `-max_total_time=${seconds}`,
      `-runs=${options.runs ?? -1}`,
      `-seed=${seed}`,
      `-max_len=${maxLength[target]}`,
      `-artifact_prefix=${found}/${target}-`,
      ...[
        '-len_control=0',
        '-timeout=10',
        '-rss_limit_mb=1024',
        '-print_final_stats=1',
        '-reload=0',
      ],
      ...[corpus, seeds],
    ]
    const output = await run(fuzzProgram(options.program ?? target), args, scratch)
    const reproducer = readdirSync(found).find((name) => !before.has(name))
    return { ...readStatistics(output.text), ...outcomeOf(output, reproducer, found) }
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

type Output = Readonly<{ status: number | null; text: string }>

async function run(program: string, args: readonly string[], cwd: string): Promise<Output> {
  if (!existsSync(program)) throw new Error(`${program} is missing: sh tools/setup test`)
  const child = spawn(program, args, { cwd, stdio: ['ignore', 'ignore', 'pipe'], env: {} })
  const chunks: Buffer[] = []
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => {
      resolve({ status, text: Buffer.concat(chunks).toString('latin1') })
    })
  })
}

function outcomeOf(
  { status, text }: Output,
  name: string | undefined,
  found: string,
): Pick<NativeOutcome, 'reproducer' | 'output'> {
  if (name === undefined && status !== 0) throw new Error(`ended with ${status}\n${text}`)
  return { reproducer: name === undefined ? null : join(found, name), output: text }
}

function readStatistics(text: string): Pick<NativeOutcome, 'executions' | 'edges' | 'newEdges'> {
  const lines = [...text.matchAll(/^#(\d+)\s+(\w+)\s+cov: (\d+)/gm)]
  const first = lines.find(([, , event]) => event === 'INITED')
  const last = lines.at(-1)
  const counted = /stat::number_of_executed_units:\s+(\d+)/.exec(text)
  const edges = Number(last?.[3] ?? 0)
  const newEdges = first === undefined ? 0 : edges - Number(first[3])
  return { executions: Number(counted?.[1] ?? last?.[1] ?? 0), edges, newEdges }
}
