/** A script with a path, a secret, a bound stdin and capped output: what each of them promises holds beside the others. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { check } from '../../src/cli/check.ts'
import { commitmentOf } from '../../src/core/policy/inputs.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const logs = join(directory, 'logs')
const program = join(directory, 'bin')
const script = join(program, 'report')
const token = join(directory, 'token')
let bridge: TestBridge

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  for (const place of [logs, program]) mkdirSync(place)
  writeFileSync(join(logs, 'a.log'), 'a line\n')
  writeFileSync(token, 'hunter2\n', { mode: 0o644 })
  const words = '#!/bin/sh\ncat\ncat "$1" "$2"\nls /proc/self/fd >&2\n'
  writeFileSync(script, words, { mode: 0o755 })
  bridge = await startBridge({
    policy: `schema = 1
[profile.all]
read = ["/usr", "${program}"]
stdin = "bound"
output = "capped"
limits = { output = "100" }
${actionText('all', 'all', [script, '{token}', '{file}'])}
[action.all.params]
token = { secret = true }
file = { path = { root = "${logs}" } }
[[grant]]
who = ["uid:${caller.uid}"]
may = ["all"]
uses = 2
`,
  })
})
after(async () => {
  if (skip === false) await bridge[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

type Members = Readonly<Record<string, unknown>>
const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')
const words = ['all', `token@${token}`, 'file=a.log']

/** What `check` says that a run of `words` would be bound to. */
function preview(): Members {
  const lines: string[] = []
  const [action = '', ...values] = words
  const about = { root: bridge.root, source: undefined, as: `uid:${caller.uid}`, json: true }
  const output = {
    print: (line: string): void => void lines.push(line),
    complain: (line: string): void => void lines.push(line),
  }
  assert.equal(check({ ...about, action, values, reason: '' }, output), 0, lines.join('\n'))
  const answer: { resolved: Members } = JSON.parse(lines.join('\n'))
  return answer.resolved
}

function lastIntent(): Members {
  const entry = bridge.entries().findLast(({ kind }) => kind === 'intent')
  const action: Members = JSON.parse(entry?.kind === 'intent' ? entry.action : '{}')
  return action
}

test('promise 3: each of them is bound, and check says so before', { skip }, async () => {
  const said = preview()
  const stdin = 'from stdin\n'
  const { status, stdout, stderr } = await bridge.bell(['-b', ...words], { stdin })
  assert.deepEqual([status, stdout], [0, `${stdin}hunter2\na line\n`])
  // 3 is the directory that ls lists; 5 the secret: no end of the relay's pipes, and not the script.
  assert.equal(stderr, '0\n1\n2\n3\n5\n')
  const { host, nonce, not_after_ms, ...resolved } = lastIntent()
  assert.ok([host, nonce, not_after_ms].every((member) => member !== undefined))
  const key = readFileSync(join(bridgePaths(bridge.root).state, 'commitment.key'))
  const value = Buffer.from('hunter2\n')
  const secrets = { token: commitmentOf(key, { nonce: String(nonce), name: 'token', value }) }
  assert.deepEqual(resolved['secrets'], secrets)
  assert.deepEqual(resolved['stdin'], { sha256: digestOf(stdin), size: stdin.length })
  assert.deepEqual(resolved['argv'], ['/bin/sh', script, '/dev/fd/5', join(logs, 'a.log')])
  const named = join(logs, 'a.log')
  const { dev, ino } = statSync(named, { bigint: true })
  const file = { kind: 'file', sha256: null, size: null }
  assert.deepEqual(resolved['inputs'], {
    [named]: { device: String(dev), inode: String(ino), ...file },
  })
  const unread = {
    ...{ secrets: { token: null }, stdin: { sha256: null, size: null } },
    inputs: { [named]: { device: null, inode: null, ...file } },
  }
  const subject = { ...Object(resolved['subject']), groups: [] }
  assert.deepEqual({ ...said, subject }, { ...resolved, ...unread, subject })
  // The client hears of the end before it is recorded.
  await until(() => bridge.entries().some(({ kind }) => kind === 'outcome'), 5_000)
  const outcome = bridge.entries().findLast(({ kind }) => kind === 'outcome')
  assert.ok(outcome?.kind === 'outcome' && outcome.output.kind === 'capped')
  assert.equal(outcome.output.stdout.sha256, digestOf(stdout))
  assert.equal(outcome.output.truncated, false)
})

test('promise 1: a refusal of any of them starts nothing and uses nothing', { skip }, async () => {
  const refusals: readonly (readonly [readonly string[], string])[] = [
    [['all', `token@${token}`, 'file=b.log'], 'path_refused'],
    [['all', 'token=@1', 'file=a.log'], 'input_mismatch'],
  ]
  for (const [wrong, code] of refusals) {
    const { status, stderr } = await bridge.bell(['-b', ...wrong], { stdin: 'x' })
    assert.equal(status, 125)
    assert.ok(stderr.includes(code), stderr)
  }
  const unbound = await bridge.bell(words, { stdin: 'x' })
  assert.ok(unbound.stderr.includes('stdin_unbound'), unbound.stderr)
})

test('a bound stdin of more than the cap is cut off on its way out', { skip }, async () => {
  const stdin = 'y'.repeat(1000)
  const { status, stdout, stderr } = await bridge.bell(['-b', ...words], { stdin })
  assert.deepEqual([status, stdout], [0, stdin.slice(0, 100)])
  assert.match(stderr, /cut off at the action's limit: 100 of \d+ bytes/)
  // The refusals above gave their uses back: this was the second of two.
  assert.match((await bridge.bell(['-b', ...words], { stdin })).stderr, /grant_used_up/)
  await until(async () => (await bridge.verify()).ok, 10_000) // the first checkpoint takes a second
})
