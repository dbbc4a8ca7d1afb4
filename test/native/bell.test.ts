import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'

import {
  answering,
  bellPrograms,
  compileTestProgram,
  ended,
  endedKind,
  exited0,
  frameOf,
  makeTemporaryDirectory,
  refusedKind,
  removeDirectory,
  root,
  runBell,
} from './bell-bridge.ts'
import type { Behave } from './bell-bridge.ts'

const directory = makeTemporaryDirectory()
after(() => {
  removeDirectory(directory)
})
const programs = bellPrograms

type Vector = Readonly<{ name: string; arguments?: readonly string[]; frame: string }>
type Vectors = Readonly<{ valid: readonly Vector[]; invalid: readonly Vector[] }>

function isVector(value: unknown): value is Vector {
  if (typeof value !== 'object' || value === null || !('name' in value) || !('frame' in value)) {
    return false
  }
  return typeof value.name === 'string' && typeof value.frame === 'string'
}

function isVectors(value: unknown): value is Vectors {
  if (typeof value !== 'object' || value === null) return false
  if (!('valid' in value) || !('invalid' in value)) return false
  return [value.valid, value.invalid].every((list) => Array.isArray(list) && list.every(isVector))
}

function readVectors(): Vectors {
  const path = join(root, 'spec/vectors/wire-request.json')
  const value: unknown = JSON.parse(readFileSync(path, 'utf8'))
  assert.ok(isVectors(value), 'spec/vectors/wire-request.json is not of its form')
  return value
}

const vectors = readVectors()

function repeated(text: string): string {
  return text.replace(/(.)\*(\d+)$/, (_, letter: string, times: string) =>
    letter.repeat(Number(times)),
  )
}

function frameBytes(text: string): Buffer {
  const groups = text.split(' ').map((group) => {
    const [hex = '', times = '1'] = group.split('*')
    return hex.repeat(Number(times))
  })
  return Buffer.from(groups.join(''), 'hex')
}

for (const [build, program] of Object.entries(programs)) {
  for (const vector of vectors.valid) {
    if (vector.arguments === undefined) continue
    test(`bell (${build}) sends the frame of the vector: ${vector.name}`, async () => {
      const args = (vector.arguments ?? []).map(repeated)
      const outcome = await runBell({ program, arguments: args, behave: answering(exited0) })
      assert.deepEqual(
        { status: outcome.status, stderr: outcome.stderr },
        { status: 0, stderr: '' },
      )
      assert.equal(outcome.frame.toString('hex'), frameBytes(vector.frame).toString('hex'))
    })
  }

  for (const vector of vectors.invalid) {
    if (vector.arguments === undefined) continue
    test(`bell (${build}) refuses before it connects: ${vector.name}`, async () => {
      const args = (vector.arguments ?? []).map(repeated)
      const outcome = await runBell({ program, arguments: args, behave: answering(exited0) })
      assert.equal(outcome.status, 125)
      assert.match(outcome.stderr, /^bell: .+\nTry 'bell --help'\.\n$/)
      assert.equal(outcome.frame.length, 0)
    })
  }
}

test('bell: a file is named by the order of its descriptor, and nothing of it is in the frame', async () => {
  const args = ['a', 'x@/etc/hostname', 'y=b@c', 'z@/etc/passwd']
  const { status, frame } = await runBell({
    program: programs.asan,
    arguments: args,
    behave: answering(exited0),
  })
  assert.equal(status, 0)
  const values = ['x', '@1', 'y', 'b@c', 'z', '@2'].map((text) => {
    return `${Buffer.from([text.length, 0]).toString('hex')}${Buffer.from(text).toString('hex')}`
  })
  assert.ok(frame.toString('hex').endsWith(values.join('')))
})

/** Collects the frames after the request; `then` is called with all of them after each one. */
function onFrames(connection: Socket, then: (signals: readonly number[]) => void): void {
  let bytes = Buffer.alloc(0)
  connection.on('data', (chunk: Buffer) => {
    bytes = Buffer.concat([bytes, chunk])
    const signals: number[] = []
    for (let at = 0; at + 12 <= bytes.length; at += 12) {
      assert.equal(bytes.toString('hex', at, at + 8), '0400000002010000')
      signals.push(bytes.readUInt32LE(at + 8))
    }
    then(signals)
  })
}

test('bell forwards its signals and lives on', async () => {
  const names: readonly NodeJS.Signals[] = [
    'SIGINT',
    'SIGTERM',
    'SIGHUP',
    'SIGQUIT',
    'SIGUSR1',
    'SIGUSR2',
    'SIGCONT',
    'SIGWINCH',
  ]
  const seen: number[] = []
  const behave: Behave = (connection, child) => {
    child.kill(names[0])
    onFrames(connection, (signals) => {
      seen.splice(0, seen.length, ...signals)
      const next = names[signals.length]
      if (next === undefined) connection.end(frameOf(endedKind, 2, 15, 0, 0))
      else child.kill(next)
    })
  }
  const outcome = await runBell({ program: programs.release, arguments: ['a'], behave })
  assert.deepEqual([outcome.status, outcome.signal], [143, null])
  assert.deepEqual(seen, [2, 15, 1, 3, 10, 12, 18, 28])
})

test('bell does not forward what it was told to ignore', async () => {
  const seen: number[] = []
  const behave: Behave = (connection, child) => {
    child.kill('SIGHUP')
    child.kill('SIGTERM')
    onFrames(connection, (signals) => {
      seen.splice(0, seen.length, ...signals)
      connection.end(exited0)
    })
  }
  const script = 'trap "" HUP; exec "$0" a'
  const outcome = await runBell({
    program: '/bin/sh',
    arguments: ['-c', script, programs.release],
    behave,
  })
  assert.deepEqual([outcome.status, seen], [0, [15]])
})

for (const [error, status, stderr] of [
  ['EPIPE', 127, /^bell: busy: busy\n$/],
  ['ECONNRESET', 127, /^bell: busy: busy\n$/],
  ['ETOOMANYREFS', 125, /^bell: cannot send the request: .+\n$/],
] as const) {
  test(`bell reads what a bridge said that hung up before it was asked: ${error}`, async (t) => {
    if (!existsSync('/usr/bin/strace')) {
      t.skip('no /usr/bin/strace')
      return
    }
    const server = createServer((connection) => {
      connection.on('error', () => undefined)
      connection.end(frameOf(refusedKind, 127, '{"code":"busy","title":"busy"}'))
    })
    const socketPath = join(directory, `early-${error}`)
    await new Promise<void>((resolve) => server.listen(socketPath, resolve))
    const inject = [`--inject=sendmsg:error=${error}`, '-qq', '-o', '/dev/null']
    const bell = [programs.release, '-S', socketPath, 'a']
    const outcome = await ended(spawn('/usr/bin/strace', [...inject, ...bell]))
    server.close()
    assert.equal(outcome.status, status)
    assert.match(outcome.stderr, stderr)
  })
}

test('bell keeps the status when nobody reads its stderr', async () => {
  const behave: Behave = (connection, child) => {
    child.stderr?.once('close', () => connection.end(frameOf(endedKind, 3, 0, 0, 0)))
    child.stderr?.destroy()
  }
  const outcome = await runBell({ program: programs.release, arguments: ['a'], behave })
  assert.deepEqual([outcome.status, outcome.signal], [124, null])
})

test('C02: bell with an empty argv ends with 126 and says nothing', async () => {
  const program = compileTestProgram(directory, 'exec-empty')
  const outcome = await ended(spawn(program, [programs.release], { env: {} }))
  assert.deepEqual([outcome.status, outcome.stdout, outcome.stderr], [126, '', ''])
})

test('bell reaches a socket whose path is over 107 bytes', async () => {
  const deep = join(directory, 'd'.repeat(120))
  mkdirSync(deep)
  const fd = openSync(deep, 'r')
  const outcome = await runBell({
    program: programs.release,
    arguments: ['-S', join(deep, 'run.sock'), 'a'],
    behave: answering(exited0),
    listenAt: `/proc/self/fd/${fd}/run.sock`,
  })
  closeSync(fd)
  assert.deepEqual([outcome.status, outcome.stderr], [0, ''])
})

const unreached: readonly Readonly<{ name: string; args: readonly string[]; stderr: RegExp }>[] = [
  {
    name: 'there is none',
    args: ['-S', join(directory, 'none')],
    stderr: /cannot reach the bridge: No such file/,
  },
  {
    name: 'the name is too long',
    args: ['-S', `/tmp/${'n'.repeat(108)}`],
    stderr: /cannot reach the bridge: File name too long/,
  },
  {
    name: 'it is no socket',
    args: ['-S', '/etc/passwd'],
    stderr: /cannot reach the bridge: Connection refused/,
  },
  {
    name: '--json says so',
    args: ['--json', '-S', join(directory, 'none')],
    stderr: /^\{"end":"unreached","value":2\}$/m,
  },
]

for (const { name, args, stderr } of unreached) {
  test(`bell ends with 125 where it cannot reach the bridge: ${name}`, async () => {
    const outcome = await ended(spawn(programs.asan, [...args, 'a'], { env: {} }))
    assert.equal(outcome.status, 125)
    assert.match(outcome.stderr, stderr)
  })
}

test('bell passes its stdin, stdout and stderr, and /dev/null for what is closed', async () => {
  const peer = compileTestProgram(directory, 'peer')
  const cases: readonly (readonly [string, string, string])[] = [
    ['echo hallo | "$0" -S "$1" a | cat', 'pipe pipe', 'err\nhallo\n'],
    ['echo hallo >"$1.in"; "$0" -S "$1" a <"$1.in" >"$1.out"', 'file file', 'err\n'],
    ['"$0" -S "$1" a <&-', 'null', 'err\n'],
    ['"$0" -S "$1" a <&- >&- 2>&-', 'null null null', ''],
  ]
  for (const [index, [script, kinds, output]] of cases.entries()) {
    const socketPath = join(directory, `peer-${index}`)
    const bridge = spawn(peer, [socketPath, exited0.toString('hex')])
    const bridgeEnd = ended(bridge)
    await new Promise((resolve) => bridge.stdout.once('data', resolve))
    const outcome = await ended(
      spawn('sh', ['-c', `{ ${script}; } 2>&1`, programs.release, socketPath]),
    )
    const seen = await bridgeEnd
    assert.equal(seen.status, 0, seen.stderr)
    assert.match(seen.stdout, new RegExp(`^fds ${kinds}`, 'm'))
    assert.equal(
      outcome.stdout
        .split(/(?<=\n)/)
        .sort()
        .join(''),
      output,
    )
  }
})

test('bell takes the socket from the environment, and rather from -S', async () => {
  const env = { BELLADONNA_SOCKET: join(directory, 'none') }
  const socketPath = join(directory, 'named')
  const outcome = await runBell({
    program: programs.asan,
    arguments: ['-S', socketPath, 'a'],
    behave: answering(exited0),
    socketPath,
    env,
  })
  assert.equal(outcome.status, 0)
  const alone = await ended(spawn(programs.asan, ['a'], { env }))
  assert.deepEqual(
    [alone.status, alone.stderr],
    [125, 'bell: cannot reach the bridge: No such file or directory\n'],
  )
})

const commandLines: readonly (readonly [readonly string[], number, RegExp])[] = [
  [['--help'], 0, /^usage: bell/],
  [['-h'], 0, /^usage: bell/],
  [['--version'], 0, /^bell \d+\.\d+\.\d+\n$/],
  [[], 125, /^bell: an action is missing\n/],
  [['--nonsense', 'a'], 125, /^bell: unknown option, or one without its value: '--nonsense'\n/],
  [['-S'], 125, /^bell: unknown option, or one without its value: '-S'\n/],
  [['a', '-r', 'x=y'], 125, /^bell: expected name=value or name@FILE: '-r'\n/],
  [['a', '\u001b[1m\u009b\n'], 125, /^bell: expected name=value or name@FILE: '\\u001b\[1m\\u009b\\u000a'\n/],
  [['a', '@/etc/passwd'], 125, /^bell: expected name=value or name@FILE: '@\/etc\/passwd'\n/],
  [['a', 'x@/no/such'], 125, /^bell: No such file or directory: 'x@\/no\/such'\n/],
  [['a', 'x@/'], 125, /^bell: Is a directory: 'x@\/'\n/],
  [['-b', 'a', ...Array<string>(5).fill('x@/dev/null')], 125, /^bell: more than four files\n/],
  [['--', '-x', 'y'], 125, /^bell: expected name=value or name@FILE: 'y'\n/],
]

for (const [args, status, output] of commandLines) {
  test(`bell ${JSON.stringify(args)} ends with ${status}`, async () => {
    const outcome = await ended(spawn(programs.asan, args, { env: {} }))
    assert.equal(outcome.status, status)
    assert.match(status === 0 ? outcome.stdout : outcome.stderr, output)
    assert.equal(status === 0 ? outcome.stderr : outcome.stdout, '')
  })
}
