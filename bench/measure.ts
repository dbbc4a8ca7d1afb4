import { spawn } from 'node:child_process'

/** One command of a run: what it is called, what is executed, and which exit statuses are the right ones. */
export type Command = Readonly<{
  name: string
  argv: readonly string[]
  expected: (status: number) => boolean
}>

/** How often and how a set of commands is run; `batch` runs, `parallel` at a time, make one turn. */
export type Shape = Readonly<{ rounds: number; warmUp: number; parallel: number; batch: number }>

/** Nanoseconds of each turn, by command; all lists have one element a round. */
export type Measured = ReadonlyMap<string, readonly number[]>

/** Who runs the commands, by which harness, and until when. */
export type Caller = Readonly<{ harness: string; uid: number; gid: number; abort: AbortSignal }>

/** As `ok` for `expected`: the command succeeded. */
export function isSuccess(status: number): boolean {
  return status === 0
}

/** Runs the commands in turns. Throws if one ends with another status than expected: that is not a measurement. */
export async function measure(
  caller: Caller,
  shape: Shape,
  commands: readonly Command[],
): Promise<Measured> {
  const numbers = [caller.uid, caller.gid, shape.rounds, shape.warmUp, shape.parallel, shape.batch]
  const lists = commands.flatMap(({ argv }) => ['--', ...argv])
  const output = await run(caller, [...numbers.map(String), ...lists])
  const columns = new Map<string, number[]>(commands.map(({ name }) => [name, []]))
  for (const line of output.trimEnd().split('\n')) {
    const fields = line.split(' ')
    for (const [index, { name, argv, expected }] of commands.entries()) {
      const [elapsed, status] = (fields[index] ?? '').split(':').map(Number)
      if (elapsed === undefined || status === undefined || Number.isNaN(status)) {
        throw new Error(`harness printed ${JSON.stringify(line)}`)
      }
      if (!expected(status)) throw new Error(`${argv.join(' ')}: ended with ${status}`)
      columns.get(name)?.push(elapsed)
    }
  }
  return columns
}

async function run({ harness, abort }: Caller, args: readonly string[]): Promise<string> {
  const stdio = ['ignore', 'pipe', 'inherit'] as const
  const child = spawn(harness, args, { stdio: [...stdio], env: {}, signal: abort })
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (status !== 0) throw new Error(`the harness ended with ${status ?? 'a signal'}`)
  return Buffer.concat(chunks).toString()
}
