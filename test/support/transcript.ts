/**
 * Runs what a page or a transcript shows, in one shell, and compares what is printed with what is shown there. What differs
 * from run to run (digests, times, numbers of processes) is replaced by a word on both sides.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './bridge.ts'

/** A page has dozens of programs to start, and the machine may have much else to do. */
const patienceMs = 170_000

/** A command and what it prints; undefined where that is not shown. */
export type Step = Readonly<{ command: string; shown?: string }>

/** Reads lines that begin with a prompt, `$ ` or `# `, as commands, and those below as what they print. */
export function parseTranscript(text: string): readonly Step[] {
  const [, ...parts] = `\n${text}`.split(/\n[$#] /)
  return parts.map((part) => {
    const [command = '', ...lines] = part.trimEnd().split('\n')
    return { command, shown: lines.join('\n') }
  })
}

/**
 * Runs the steps one after another and holds each to what it shows.
 *
 * A step that starts a bridge with `belladonna up` goes on in the background, once it has printed what it shows, and is
 * ended by the step `stopBridge`, or with the shell.
 *
 * @param env replaces the environment
 */
export async function playTranscript(
  steps: readonly Step[],
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<void> {
  const out = mkdtempSync('/tmp/belladonna-transcript.')
  try {
    const script = join(out, 'script')
    const first = `cd '${cwd}' || exit\nup=; trap '[ -z "$up" ] || kill "$up"' EXIT\n`
    writeFileSync(
      script,
      first + steps.map((step, at) => shellOf(step, join(out, `${at}`))).join(''),
    )
    const { status, stderr } = await run(['/bin/sh', script], '', env, patienceMs)
    assert.equal(stderr, '')
    assert.notEqual(status, null, `not over within ${patienceMs} ms`)
    steps.forEach(({ command, shown }, at) => {
      const printed = readFileSync(join(out, `${at}`), 'utf8')
      if (shown !== undefined) assert.equal(levelled(printed), levelled(shown), `$ ${command}`)
    })
  } finally {
    rmSync(out, { recursive: true })
  }
}

/** What Ctrl-C in its terminal does to a bridge that a step started. */
export const stopBridge: Step = { command: 'kill "$up" && wait "$up"; up=', shown: '' }

function shellOf({ command, shown }: Step, file: string): string {
  if (!/\bbelladonna up\b/.test(command) || !/^ready/.test(shown ?? '')) {
    return `{ ${command}\n} >'${file}' 2>&1 </dev/null\n`
  }
  return `${command} >'${file}' 2>&1 </dev/null & up=$!
tries=0; until [ -s '${file}' ] || [ $((tries += 1)) -gt 1000 ]; do sleep 0.1; done\n`
}

const variable: readonly (readonly [RegExp, string])[] = [
  [/\/tmp\/belladonna\.\w{6}/g, 'ROOT'],
  [/belladonna\/[0-9a-f]{16}\+[0-9a-f]{8}\+[\w+/=]+/g, 'KEY'],
  [/\b[0-9a-f]{64}\b/g, 'DIGEST'],
  [/\bg-[0-9a-f]{16}\b/g, 'GRANT'],
  [/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'TIME'],
  [/^entries (\d+), \d+:/gm, 'entries $1, LATER:'], // an outcome may share the next intent's sync
  [/\bpid \d+/g, 'pid PID'],
  [/\d+(?:\.\d+)? ms\b/g, 'N ms'],
  [/\d+ KiB/g, 'N KiB'],
  [/\b(started_ms): \d+/g, '$1: N'],
  [/"(\w+_(?:us|ms|kib)|pid)":\d+/g, '"$1":N'],
  [/"(salt|nonce)":"[0-9a-f]+"/g, '"$1":"BYTES"'],
  [/"signature":"[\w+/=]+"/g, '"signature":"BYTES"'],
  [/"groups":\[[\d,]*\]/g, '"groups":[GIDS]'],
  [/, groups (?:none|\d[\d ]*)$/gm, ', groups GIDS'],
  // What this kernel can enforce, and what does not hold: tests of `status` say what they must have.
  [/"(features|limits|in_force|missing)":\[[^\]]*\]/g, '"$1":[WORDS]'],
  [/"limits":\{[^}]*\}/g, '"limits":{STATES}'],
  [/^(features:|limits:|limits|in force|enforces|profile \S+:) +.+$/gm, '$1 WORDS'],
]

function levelled(text: string): string {
  return variable.reduce((so, [pattern, word]) => so.replaceAll(pattern, word), text.trimEnd())
}
