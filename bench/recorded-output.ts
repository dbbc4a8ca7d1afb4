/**
 * Output that is kept: `output = "recorded"` beside sudo's log_output. Both write below one directory, and a reader at the end of a pipe counts what comes. sudo never waits for its disk, nor does a client of ours:
 * the broker syncs a recording after the run's end, and that is waited for here, untimed, before the other side has its turn.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bridge } from './bridge.ts'
import { isSuccess, measure } from './measure.ts'
import type { Command } from './measure.ts'
import { compressedSource, ioLogs, plainSource, recordedBytes } from './peers.ts'
import type { Options, Results } from './plan.ts'
import { percentile, ratioPerRound } from './statistics.ts'

const what = 'recorded output'
/** sudo compresses what it keeps unless it is told not to; that is the peer of DESIGN.md section 14, "first". */
const asShipped = 'sudo log_output'
const goal = { limit: 1, best: 'high' } as const
const settleMs = 300

/** A pipe takes what it writes, as a program that asked would; all of it must come. */
function counted(name: string, words: readonly string[]): Command {
  const text = `test "$("$@" | wc -c)" = ${recordedBytes}`
  return { name, argv: ['/usr/bin/dash', '-c', text, 'counted', ...words], expected: isSuccess }
}

const sudo = (source: readonly string[]): readonly string[] => ['/usr/bin/sudo', '-n', ...source]

export async function measureRecordedOutput(
  options: Options,
  bridge: Bridge | null,
): Promise<Results> {
  options.onProgress(what)
  const ours = bridge === null ? [] : [counted('bell', bridge.recorded)]
  const commands = [
    ...ours,
    counted(asShipped, sudo(compressedSource)),
    counted('sudo log_output, not compressed', sudo(plainSource)),
  ]
  const rates = await measureInTurns(options, commands, () => {
    empty(join(options.directory, ioLogs))
    if (bridge !== null) empty(join(bridge.rootPath, 'var/lib/belladonna/recordings'))
  })
  return {
    figures: [...rates].map(([command, values]) => {
      return { command, what, value: percentile(values, 0.5), unit: 'MB/s' }
    }),
    comparisons: [...rates]
      .filter(([name]) => name !== 'bell')
      .flatMap(([peer, theirs]) => {
        const own = rates.get('bell')
        const ratio = own === undefined ? null : ratioPerRound(own, theirs)
        return ratio === null ? [] : [{ what, peer, ratio, goal: peer === asShipped ? goal : null }]
      }),
  }
}

/** MB/s of each. One round is a run of each, in an order that rotates; the first round is not counted. */
async function measureInTurns(
  { caller, quick }: Options,
  commands: readonly Command[],
  clear: () => void,
): Promise<ReadonlyMap<string, readonly number[]>> {
  const shape = { rounds: 1, warmUp: 0, parallel: 1, batch: 1 }
  const rates = new Map<string, number[]>(commands.map(({ name }) => [name, []]))
  for (let round = 0; round <= (quick ? 2 : 15); round += 1) {
    for (const at of commands.keys()) {
      const command = commands[(round + at) % commands.length]
      if (command === undefined) continue
      const [ns = NaN] = (await measure(caller, shape, [command])).get(command.name) ?? []
      await sleep(settleMs)
      execFileSync('sync')
      clear()
      if (round > 0) rates.get(command.name)?.push((recordedBytes * 1e3) / ns)
    }
  }
  return rates
}

function empty(directory: string): void {
  for (const name of readdirSync(directory)) rmSync(join(directory, name), { recursive: true })
}
