/** For tests of terminals: a bridge, and a caller at a real one, driven as a person drives it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import { Readable, Writable } from 'node:stream'
import { caller } from './bridge.ts'

export type Terminal = Disposable &
  Readonly<{
    /** The program that has it: bell, or the caller's shell. */
    child: ChildProcess
    /** All that it has shown so far. */
    shown: () => Buffer
    type: (text: string) => void
    /** Waits for what comes after the last match of this. */
    expect: (pattern: RegExp) => Promise<RegExpExecArray>
    order: (words: string) => void
    /** Which of canonical input, echo, signals and output processing are on. */
    modes: () => Promise<string>
    end: Promise<number | null>
  }>

/** Of a terminal as a shell leaves it. */
export const cookedModes = 'icanon echo isig opost'
export const rawModes = '- - - -'

/** Starts a command as the caller, with a terminal that it controls. */
export function openTerminal(
  host: string,
  command: readonly string[],
  { rows = 24, columns = 80 }: Readonly<{ rows?: number; columns?: number }> = {},
): Terminal {
  const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--groups', '27']
  const words = [`${rows}`, `${columns}`, '/usr/bin/setpriv', ...identity, ...command]
  const env = { PATH: '/usr/bin:/bin', TERM: 'dumb', HISTFILE: '/dev/null', PS1: 'ready> ' }
  const child = spawn(host, words, { stdio: ['pipe', 'pipe', 'inherit', 'pipe', 'pipe'], env })
  const [input, output, , orders, answers] = child.stdio
  assert.ok(input instanceof Writable && output instanceof Readable)
  assert.ok(orders instanceof Writable && answers instanceof Readable)
  const chunks: Buffer[] = []
  let seen = 0
  output.on('data', (chunk: Buffer) => chunks.push(chunk))
  for (const stream of [input, orders]) stream.on('error', () => undefined)
  const lines = createInterface({ input: answers })
  const shown = (): Buffer => Buffer.concat(chunks)
  return {
    child,
    shown,
    type: (text) => void input.write(text),
    expect: async (pattern) => {
      const rest = (): string => shown().toString('latin1').slice(seen)
      const end = Date.now() + 30_000 // what is asserted is what comes, not how soon
      for (;;) {
        const match = pattern.exec(rest())
        if (match !== null) {
          seen += match.index + match[0].length
          return match
        }
        if (Date.now() > end) assert.fail(`${pattern.source}: not in ${JSON.stringify(rest())}`)
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    },
    order: (order) => void orders.write(`${order}\n`),
    modes: async () => {
      orders.write('modes\n')
      return await nextLine(lines)
    },
    end: new Promise((resolve) => child.once('close', (status) => resolve(status))),
    [Symbol.dispose]: () => void child.kill('SIGKILL'),
  }
}

async function nextLine(lines: Interface): Promise<string> {
  return await new Promise((resolve) => lines.once('line', resolve))
}
