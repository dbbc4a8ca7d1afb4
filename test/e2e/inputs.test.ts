/** Secrets by descriptor, and stdin that is bound: what the command reads is what was hashed before it was permitted. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { commitmentOf } from '../../src/core/policy/inputs.ts'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { formatRequest } from '../../src/core/protocol/request.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { compile, openScratch } from '../native/compile.ts'
import { caller, readProc, runAs, startBridge, until } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
let bridge: TestBridge
const policy = `
schema = 1
[profile.none]
[profile.bound]
stdin = "bound"
[action.show]
about = "Says what it got"
command = ["/usr/bin/cat", "{token}"]
run_as = "nobody"
profile = "none"
risk = "read-only"
params.token = { secret = true }
[action.two]
about = "Two secrets, and all that it is told"
command = ["/usr/bin/sh", "-c", "cat $1 $2; tr '\\\\0' ' ' < /proc/self/cmdline; env; ls -l /proc/self/fd", "x", "{b}", "{a}", "{n}"]
run_as = "nobody"
profile = "none"
risk = "read-only"
params.a = { secret = true }
params.b = { secret = true }
params.n = { integer = { min = 0, max = 9 } }
[action.hash]
about = "Hash of stdin"
command = ["/usr/bin/sha256sum"]
run_as = "nobody"
profile = "bound"
risk = "read-only"
[action.plain]
about = "No input"
command = ["/usr/bin/true"]
run_as = "nobody"
profile = "none"
risk = "read-only"
[action.wait]
about = "Takes its time"
command = ["/usr/bin/sh", "-c", "sleep 1", "x", "{token}"]
run_as = "nobody"
profile = "none"
risk = "read-only"
params.token = { secret = true }
[action.both]
about = "stdin, then the secret"
command = ["/usr/bin/cat", "-", "{token}"]
run_as = "nobody"
profile = "bound"
risk = "read-only"
params.token = { secret = true }
[[grant]]
who = ["uid:${caller.uid}"]
may = ["show", "two", "hash", "plain", "both", "wait"]
`

before(async () => {
  if (skip) return
  bridge = await startBridge({ policy })
  for (const [name, text] of Object.entries({ token: 'hunter2\n', other: 'swordfish' })) {
    writeFileSync(join(bridge.root, name), text, { mode: 0o644 })
  }
  writeFileSync(join(bridge.root, 'long'), 's'.repeat(65_536), { mode: 0o644 })
  writeFileSync(join(bridge.root, 'longer'), 's'.repeat(65_537), { mode: 0o644 })
})
after(async () => {
  if (!skip) await bridge[Symbol.asyncDispose]()
})

const file = (name: string): string => join(bridge.root, name)
const digestOf = (text: string): string => createHash('sha256').update(text).digest('hex')

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

/** The resolved action of the last run. */
function lastAction(): Record<string, unknown> {
  const entry = bridge.entries().findLast(({ kind }) => kind === 'intent')
  const action: unknown = entry?.kind === 'intent' ? JSON.parse(entry.action) : {}
  assert.ok(isRecord(action))
  return action
}

function lastCode(): string | undefined {
  const entry = bridge.entries().findLast(({ kind }) => kind === 'denial')
  return entry?.kind === 'denial' ? entry.code : undefined
}

/** Everything that the bridge wrote to disk. */
function written(directory: string): string {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    .join('\n')
}

test(
  'a secret reaches the command by a descriptor, and the log holds a commitment',
  { skip },
  async () => {
    const { status, stdout, stderr } = await bridge.bell(['show', `token@${file('token')}`])
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: 'hunter2\n', stderr: '' })
    const { argv, secrets, stdin, nonce } = lastAction()
    assert.deepEqual(argv, ['/usr/bin/cat', '/dev/fd/5'])
    assert.equal(stdin, null)
    const key = readFileSync(join(bridgePaths(bridge.root).state, 'commitment.key'))
    const value = Buffer.from('hunter2\n')
    assert.deepEqual(secrets, {
      token: commitmentOf(key, { nonce: String(nonce), name: 'token', value }),
    })
  },
)

test('the same secret twice has two commitments', { skip }, async () => {
  await bridge.bell(['show', `token@${file('token')}`])
  const first = lastAction()['secrets']
  await bridge.bell(['show', `token@${file('token')}`])
  assert.notDeepEqual(lastAction()['secrets'], first)
})

test(
  'a secret stands in no argument, environment, entry, receipt or file of the bridge',
  { skip },
  async () => {
    const words = ['two', `a@${file('token')}`, 'n=7', `b@${file('other')}`]
    const { status, stdout, stderr } = await bridge.bell(words)
    assert.equal(stderr, '')
    assert.equal(status, 0)
    const [contents, rest = ''] = stdout.split('hunter2\n')
    assert.equal(contents, 'swordfish')
    assert.doesNotMatch(rest, /hunter2|swordfish/)
    // b is the second descriptor that came, and stands first in the command.
    assert.deepEqual(lastAction()['argv'], [...['/usr/bin/sh', '-c'], ...argvTail()])
    const paths = bridgePaths(bridge.root)
    for (const directory of [paths.log, paths.receipts, paths.state]) {
      assert.doesNotMatch(written(directory), /hunter2|swordfish/)
    }
    assert.match(written(paths.log), /"secrets"/) // the search above looked at what it should
  },
)

function argvTail(): readonly unknown[] {
  const { argv } = lastAction()
  assert.ok(Array.isArray(argv))
  assert.deepEqual(argv.slice(-4), ['x', '/dev/fd/6', '/dev/fd/5', '7'])
  return argv.slice(2)
}

test('L6: a command has its inputs and stdio, and no other descriptor', { skip }, async () => {
  const words = ['two', `a@${file('token')}`, 'n=7', `b@${file('other')}`]
  const { stdout } = await bridge.bell(words)
  const listed = [...stdout.matchAll(/ (\d+) -> (\S+)/g)].map(([, number, target]) => [
    number,
    target,
  ])
  const inputs = listed.filter(([, target]) => target?.startsWith('/memfd:'))
  assert.deepEqual(
    inputs.map(([number]) => number),
    ['5', '6'],
  )
  const others = listed.filter(([number]) => !['0', '1', '2', '5', '6'].includes(number ?? ''))
  assert.match(others.map(([, target]) => target).join(), /^\/proc\/\d+\/fd$/) // ls reads that one
})

test(
  'bell keeps a secret in memory that is not swapped out, as far as its limits allow',
  { skip },
  async () => {
    const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--clear-groups']
    const words = [...identity, bridge.bellPath, '-S', bridge.socket]
    const lockedBy = async (path: string): Promise<number> => {
      const child = spawn('/usr/bin/setpriv', [...words, 'wait', `token@${path}`])
      const ended = new Promise((resolve) => child.once('close', resolve))
      let most = 0
      await until(() => {
        const status = readProc(`${child.pid}/status`)
        most = Math.max(most, Number(/^VmLck:\s+(\d+)/m.exec(status)?.[1] ?? 0))
        return child.exitCode !== null
      }, 10_000)
      await ended
      return most
    }
    assert.ok((await lockedBy(file('long'))) >= 64)
    assert.ok((await lockedBy(file('token'))) < 64) // so that is the secret, and not all that bell has
  },
)

const refusals: readonly (readonly [string, () => readonly string[], string])[] = [
  ['a secret as text', () => ['show', 'token=hunter2'], 'parameter_invalid'],
  ['a descriptor that was not passed', () => ['show', 'token=@1'], 'input_mismatch'],
  [
    'one descriptor for two secrets',
    () => ['two', `a@${file('token')}`, 'b=@1', 'n=1'],
    'input_mismatch',
  ],
  [
    'a descriptor too many',
    () => ['two', `a@${file('token')}`, `b@${file('token')}`, `n@${file('token')}`],
    'parameter_invalid',
  ],
  [
    'a descriptor that no secret is read from',
    () => ['two', `a@${file('token')}`, 'b=@3', 'n=1'],
    'input_mismatch',
  ],
  ['a secret of 64 KiB and one byte', () => ['show', `token@${file('longer')}`], 'input_too_large'],
  [
    'a secret for an action without one',
    () => ['plain', `token@${file('token')}`],
    'parameter_unknown',
  ],
  ['a stdin that can still change', () => ['hash'], 'stdin_unbound'],
]
for (const [name, words, code] of refusals) {
  test(`promise 1: ${name} is refused: ${code}`, { skip }, async () => {
    const { status, stdout, stderr } = await bridge.bell(words())
    assert.equal(status, 125)
    assert.equal(stdout, '')
    assert.ok(stderr.includes(code), stderr)
    assert.equal(lastCode(), code)
    assert.doesNotMatch(JSON.stringify(bridge.entries()), /hunter2/)
  })
}

test('a secret of 64 KiB arrives whole', { skip }, async () => {
  const { status, stdout } = await bridge.bell(['show', `token@${file('long')}`])
  assert.equal(status, 0)
  assert.equal(digestOf(stdout), digestOf('s'.repeat(65_536)))
})

for (const size of [0, 1, 131_072, 131_073, 1_048_576]) {
  test(
    `promise 3: a bound stdin of ${size} bytes is what its resolved action says`,
    { skip },
    async () => {
      const stdin = 'é0123456789abcde'.repeat(65_536).slice(0, size).replaceAll('é', 'e')
      const { status, stdout, stderr } = await bridge.bell(['-b', 'hash'], { stdin })
      assert.equal(stderr, '')
      assert.equal(status, 0)
      assert.equal(stdout, `${digestOf(stdin)}  -\n`)
      assert.deepEqual(lastAction()['stdin'], { sha256: digestOf(stdin), size })
    },
  )
}

test('a bound stdin of 1 MiB and one byte is refused', { skip }, async () => {
  const { status, stderr } = await bridge.bell(['-b', 'hash'], { stdin: 'x'.repeat(1_048_577) })
  assert.equal(status, 125)
  assert.match(stderr, /input_too_large/)
  assert.equal(lastCode(), 'input_too_large')
})

test('many at once: each command reads its own', { skip }, async () => {
  const ask = async (number: number): Promise<BellResult> => {
    writeFileSync(file(`t${number}`), `secret ${number}`, { mode: 0o644 })
    return number % 2 === 0
      ? await bridge.bell(['show', `token@${file(`t${number}`)}`])
      : await bridge.bell(['-b', 'hash'], { stdin: String(number).repeat(200_000) })
  }
  const results = await Promise.all(
    Array.from({ length: 16 }, async (_, number) => await ask(number)),
  )
  results.forEach(({ stdout }, number) => {
    const wanted =
      number % 2 === 0 ? `secret ${number}` : `${digestOf(String(number).repeat(200_000))}  -\n`
    assert.equal(stdout, wanted)
  })
  assert.equal((await bridge.verify()).ok, true)
})

test(
  'promise 7: as many bound inputs of 1 MiB as one uid may have at once: none ends the bridge',
  { skip },
  async () => {
    const { executor } = bridge.pids()
    const stdin = 'm'.repeat(1_048_576)
    const results = await Promise.all(
      Array.from({ length: 32 }, async () => await bridge.bell(['-b', 'hash'], { stdin })),
    )
    for (const { status, stdout, stderr } of results) {
      if (stderr.includes('busy')) continue // a slot that is not free yet
      assert.deepEqual([status, stderr, stdout], [0, '', `${digestOf(stdin)}  -\n`])
    }
    assert.ok(results.filter(({ status }) => status === 0).length > 16)
    assert.equal(bridge.pids().executor, executor)
  },
)

/** What the kernel calls F_SEAL_SHRINK, F_SEAL_GROW and F_SEAL_WRITE; 16 is F_SEAL_FUTURE_WRITE. */
const seals: readonly (readonly [string, number])[] = [
  ['nothing', 0],
  ['writing alone', 8],
  ['all but growing', 2 + 8],
  ['all but shrinking', 4 + 8],
  ['all but writing', 2 + 4],
  ['writing in future, while who has it mapped goes on', 2 + 4 + 16],
]

/** Sends `hunter2` as stdin and as input, from offset 3 on; the command's output and the answer. */
async function askSealed(action: string, mask: number): Promise<string> {
  using scratch = openScratch()
  const program = compile(scratch.path, 'strange-client.c')
  chmodSync(scratch.path, 0o755)
  const frame = join(scratch.path, 'frame')
  const parameters = [{ name: 'token', value: '@1' }]
  const request = formatRequest({ action, reason: '', nonce: null, parameters })
  writeFileSync(frame, formatFrame(wireKind.request, request))
  const words = [program, 'input', bridge.socket, frame, String(mask)]
  const { stdout } = await runAs(words, {})
  return stdout
}

for (const [name, mask] of seals) {
  test(`promise 3: memory that is sealed against ${name} is no input`, { skip }, async () => {
    const answer = await askSealed('both', mask)
    assert.match(answer, /stdio_not_accepted/)
    assert.doesNotMatch(answer, /hunter2/)
  })
}

test(
  'promise 3: the client cannot make the command read from elsewhere in it',
  { skip },
  async () => {
    const answer = await askSealed('both', 2 + 4 + 8)
    assert.ok(answer.startsWith('hunter2hunter2'), answer) // stdin from its descriptor, and the secret
    assert.deepEqual(lastAction()['stdin'], { sha256: digestOf('hunter2'), size: 7 })
  },
)

test('a client that is gone while its input is read leaves nothing', { skip }, async () => {
  const descriptors = (): number => readdirSync(`/proc/${bridge.pids().launcher}/fd`).length
  const words = ['-b', 'hash']
  const good = async (): Promise<void> => {
    assert.equal((await bridge.bell(words, { stdin: 'x' })).status, 0)
  }
  await good() // its root is made and kept
  const first = descriptors()
  await Promise.all(
    Array.from({ length: 8 }, async (_, round) => {
      const stdin = 'x'.repeat(1_000_000)
      const killed = ['/usr/bin/timeout', '-s', 'KILL', `0.0${round + 1}`]
      await bridge.bell(words, { stdin, before: killed })
    }),
  )
  await good()
  await until(() => descriptors() <= first, 5_000)
})
