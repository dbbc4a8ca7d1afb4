import { spawn } from 'node:child_process'
import type { JsonValue } from '../../core/json/canonical.ts'
import { parseStrictJson } from '../../core/json/strict.ts'
import { auditShow } from '../audit.ts'
import type { DemoBridge } from './bridge.ts'
import { asCaller } from './caller.ts'
import type { Caller } from './caller.ts'

/** What came of one request. `told` is bell's JSON line: the end, or the problem. */
export type Answer = Readonly<{
  status: number
  output: string
  told: Readonly<Record<string, JsonValue>>
}>

/** Makes one request as the caller, with bell, as a person would. */
export async function request(
  bridge: DemoBridge,
  caller: Caller,
  words: readonly string[],
): Promise<Answer> {
  const [program, args] = asCaller(caller, [
    bridge.bell,
    '--json',
    '-S',
    bridge.runSocket,
    ...words,
  ])
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => {
      resolve({
        status: status ?? -1,
        output: output + withoutLast(errors),
        told: lastObject(errors),
      })
    })
  })
}

function withoutLast(text: string): string {
  return text.split('\n').slice(0, -2).join('\n')
}

/** The last line that bell wrote is one JSON object. */
function lastObject(text: string): Readonly<Record<string, JsonValue>> {
  const line = text.trimEnd().split('\n').at(-1) ?? ''
  const value: JsonValue = line.startsWith('{') ? parseStrictJson(line) : { unread: line }
  return isObject(value) ? value : {}
}

function isObject(value: JsonValue): value is Readonly<Record<string, JsonValue>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Prints what the log has of it: the decision, the features in force, the verified entry and receipt. */
export async function showRecord(
  bridge: DemoBridge,
  answer: Answer,
  print: (line: string) => void,
): Promise<void> {
  const { entry } = answer.told
  if (typeof entry !== 'number') return
  const options = { directory: `${bridge.root}/var/lib/belladonna`, json: false }
  let lines: string[] = []
  // The outcome and the checkpoint over it come a moment after the client's answer.
  for (let attempt = 0; attempt < 50 && !isSettled(lines); attempt++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    lines = []
    auditShow(options, String(entry), (line) => lines.push(...line.split('\n')))
  }
  for (const line of lines) print(`   | ${line}`)
}

function isSettled([first = '']: readonly string[]): boolean {
  return /: (?:ended|denied)/.test(first) && !first.includes('not yet signed')
}
