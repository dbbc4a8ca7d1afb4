/**
 * npm run fuzz [-- --seconds N] [--seed N] [--out DIRECTORY] [TARGET…]: fuzzes each target for N seconds (60), two at a time.
 *
 * What reached something new is kept in native/out/fuzz/corpus, and is where the next run begins. Ends with 1 if a claim
 * did not hold or something crashed; the input is kept in native/out/fuzz/found, with a line that says how to see it again.
 */
import { mkdirSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { fuzzNative } from './native.ts'
import { fuzzScriptIn, keepFinding } from './script.ts'
import { checkout, nativeTargets } from './seeds.ts'
import { scriptTargets } from './target.ts'

type Row = Readonly<{
  name: string
  executions: number
  edges: number
  newEdges: number
  failure: string | null
}>

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '0' },
    out: { type: 'string', default: join(checkout, 'native/out/fuzz') },
  },
})
const seconds = Number(flags.seconds)
const seed = flags.seed === '0' ? 1 + (Date.now() % 1_000_000_000) : Number(flags.seed)
const out = resolve(flags.out)
const found = join(out, 'found')
mkdirSync(join(out, 'corpus'), { recursive: true })

async function runNative(target: (typeof nativeTargets)[number]): Promise<Row> {
  const corpus = join(out, 'corpus', target)
  const { reproducer, output, ...row } = await fuzzNative({ target, seconds, seed, corpus, found })
  if (reproducer === null) return { name: target, ...row, failure: null }
  const path = relative(process.cwd(), reproducer)
  return { name: target, ...row, failure: `${output}\nreplay: native/out/fuzz/${target} ${path}` }
}

async function runScript(target: (typeof scriptTargets)[number]): Promise<Row> {
  const corpus = join(out, 'corpus', `${target}.json`)
  const { finding, ...row } = await fuzzScriptIn({ root: checkout, target, seconds, seed, corpus })
  if (finding === null) return { name: target, ...row, failure: null }
  const path = relative(process.cwd(), keepFinding(found, target, finding.input))
  const replay = `sh tools/run test/fuzz/loop.ts ${target} --replay ${path}`
  return { name: target, ...row, failure: `${finding.error}\nreplay: ${replay}` }
}

const targets = [
  ...nativeTargets.map((name) => ({ name, run: async () => runNative(name) })),
  ...scriptTargets.map((name) => ({ name, run: async () => runScript(name) })),
].filter(({ name }) => positionals.length === 0 || positionals.includes(name))

function show(cells: readonly (string | number)[]): void {
  console.log(cells.map((cell, at) => String(cell)[at === 0 ? 'padEnd' : 'padStart'](12)).join(''))
}

if (targets.length === 0 || !(seconds > 0) || !Number.isInteger(seed)) {
  console.error(
    `usage: npm run fuzz [-- --seconds N] [--seed N] [${[...nativeTargets, ...scriptTargets].join('|')} …]`,
  )
  process.exit(2)
}
console.log(`seed ${seed}, ${seconds} s each; edges of C, outcomes of branches of TypeScript\n`)
show(['target', 'executions', 'a second', 'edges', 'new'])
const queue = [...targets]
const failures: string[] = []
const work = async (): Promise<void> => {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { name, executions, edges, newEdges, failure } = await next.run()
    show([name, executions, Math.round(executions / seconds), edges, newEdges])
    if (failure !== null) failures.push(`${name}: ${failure}`)
  }
}
await Promise.all([work(), work()])
for (const failure of failures) console.error(`\n${failure}`)
process.exitCode = failures.length === 0 ? 0 : 1
