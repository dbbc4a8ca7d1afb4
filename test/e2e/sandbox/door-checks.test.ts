/**
 * Checks of the launcher that stand alone between a client and a run: each is tried against the launcher as it is, and
 * against one without these checks, which must let it through. Their executor permits whatever is asked.
 */
import assert from 'node:assert/strict'
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatFrame } from '../../../src/core/protocol/frame.ts'
import { wireKind } from '../../../src/core/protocol/layout.ts'
import { formatRequest } from '../../../src/core/protocol/request.ts'
import { compile } from '../../native/compile.ts'
import { actionText } from '../../support/action-text.ts'
import { exitOf, readProc, run, until } from '../../support/bridge.ts'
import type { BareBridge, RunOptions } from './bare-bridge.ts'
import { openTwoLaunchers } from './two-launchers.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const frame = join(directory, 'frame')
const program = join(directory, 'program')
const evidence = join(directory, 'ran')
const opened = join(directory, 'opened')
/** It says that it runs, and goes on for so many seconds. */
const busy = (seconds: string): readonly string[] => [
  '/usr/bin/dash',
  '-c',
  `echo; exec sleep ${seconds}`,
]

const policy = `schema = 1
[profile.place]
read = ["/usr", "${directory}"]
[profile.write]
write = ["${directory}"]
${actionText('any', 'place', ['/usr/bin/true'])}
${actionText('other', 'write', ['/usr/bin/true'])}
`

const both = openTwoLaunchers(directory, policy, [
  {
    file: 'launcher/door.c',
    from: 'SO_TYPE, &type, &size) != 0) return -1;',
    to: 'SO_TYPE, &type, &size) != 0) return WIRE_STDIO_FILE;',
  },
  {
    file: 'launcher/door.c',
    from: '? WIRE_STDIO_SOCKET : -1;',
    to: '? WIRE_STDIO_SOCKET : WIRE_STDIO_FILE;',
  },
  {
    file: 'launcher/door.c',
    from: 'most = reading && slot->stdio[0] < 0 ? STDIO : 0',
    to: 'most = STDIO',
  },
  { file: 'launcher/door.c', from: '1u << SIGCONT |', to: '1u << SIGCONT | 1u << SIGKILL |' },
  { file: 'launcher/run.c', from: 'slot->client_gone || slot->failed) {', to: 'slot->failed) {' },
  {
    file: 'sandbox/first-process.c',
    from: '    same_file(executable, &child.stamp);\n',
    to: '',
  },
  {
    file: 'sandbox/sandbox.c',
    from: '  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY);',
    to: '',
  },
])

let client = ''
before(() => {
  if (skip !== false) return
  client = compile(directory, 'strange-client.c')
  const request = formatRequest({ action: 'any', reason: '', nonce: null, parameters: [] })
  writeFileSync(frame, formatFrame(wireKind.request, request))
})

/** What a strange client hears: of its one answer the kind, and the code of a refusal. */
async function hear(
  { bridge, arrange, plan }: BareBridge,
  words: readonly string[],
  argv: readonly string[] = ['/usr/bin/true'],
  { profile = 'place', ...options }: RunOptions & { profile?: string } = {},
): Promise<string> {
  arrange(plan(profile), argv, options)
  const [mode = '', ...rest] = words
  const { status, stdout, stderr } = await run([client, mode, bridge.socket, frame, ...rest])
  if (status === 3) return 'not to be had'
  assert.equal(status, 0, stderr)
  if (stdout === '') return 'nothing'
  const [, code] = /"code":"(\w+)"/.exec(stdout) ?? []
  return code ?? (stdout.charCodeAt(5) === wireKind.ended >> 8 ? 'ended' : stdout)
}

/** A block device that is there to be read. */
function blockDevice(): string {
  const devices = readdirSync('/dev')
    .map((name) => join('/dev', name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isBlockDevice() === true)
  return devices.find((path) => path.includes('loop')) ?? devices[0] ?? '/dev/none'
}

const kinds = ['dgram', 'seqpacket', 'eventfd', 'epoll', 'inotify', '/', '/dev/zero', blockDevice()]
for (const kind of kinds) {
  test(
    `C34: as a standard stream nothing is taken that is ${kind}, and only by its kind`,
    { skip },
    async (t) => {
      for (const [bare, isOurs] of both()) {
        for (const place of ['0', '1', '2']) {
          const heard = await hear(bare, ['odd', place, kind])
          if (heard === 'not to be had') {
            t.skip(`this host has no ${kind}`)
            return
          }
          if (isOurs) assert.equal(heard, 'stdio_not_accepted', place)
          else assert.notEqual(heard, 'stdio_not_accepted', place)
        }
      }
    },
  )
}

test(
  'C28: descriptors that come with later bytes end the connection, and only for that',
  { skip },
  async () => {
    for (const [bare, isOurs] of both()) {
      assert.equal(await hear(bare, ['late']), isOurs ? 'nothing' : 'ended')
      // Behind the request too: the run hears that its client is gone, or it would end by itself.
      const heard = await hear(bare, ['signal', '28', '3'], busy('0.5'))
      assert.equal(heard, isOurs ? 'nothing' : 'ended')
    }
  },
)

/** SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGTERM, SIGCONT, SIGWINCH. */
const allowed = new Set([1, 2, 3, 10, 12, 15, 18, 28])
test(
  'L4: a client sends the signals of a terminal and no other: SIGKILL and SIGSTOP are not its to send',
  { skip },
  async () => {
    for (const [bare, isOurs] of both()) {
      const refused = Array.from({ length: 34 }, (_, number) => number).filter(
        (number) => !allowed.has(number) && (isOurs || number === 9),
      )
      for (const number of [...refused, ...(isOurs ? [64, 2 ** 31, 2 ** 32 - 1] : [])]) {
        const heard = await hear(bare, ['signal', `${number}`, '0'], busy('60'))
        assert.equal(heard, isOurs ? 'nothing' : 'ended', `signal ${number}`)
      }
      assert.equal(await hear(bare, ['signal', '15', '0'], busy('60')), 'ended')
    }
  },
)

test(
  'L3 C27: a client that is gone before the gate opens: its command does not start, and only for that',
  { skip },
  async () => {
    for (const [bare, isOurs] of both()) {
      for (const path of [evidence, opened]) rmSync(path, { force: true })
      const late = [['append', 'x', opened]] as const
      bare.arrange(bare.plan('write'), ['/usr/bin/touch', evidence], { late })
      const whole = `${statSync(frame).size}`
      const { status } = await run([client, 'cut', bare.bridge.socket, frame, whole, '3', '1'])
      assert.equal(status, 0)
      await until(() => existsSync(opened), 10_000)
      // When this one has run, the gate of the one before was opened long ago.
      assert.equal((await bare.run(bare.plan('place'), ['/usr/bin/sleep', '0.2'])).status, 0)
      if (isOurs) assert.ok(!existsSync(evidence))
      else await until(() => existsSync(evidence), 5_000)
    }
  },
)

test(
  'L7 C12: a program that is written to in place while its run waits does not start, and only for that',
  { skip },
  async () => {
    for (const [bare, isOurs] of both()) {
      copyFileSync('/usr/bin/echo', program)
      chmodSync(program, 0o755)
      const words = [program, 'ran']
      assert.equal((await bare.run(bare.plan('place'), words, { late: [] })).stdout, 'ran\n')
      const late = [['append', 'x', program]] as const
      const { status, stdout } = await bare.run(bare.plan('place'), words, { late })
      assert.deepEqual([status === 0, stdout], isOurs ? [false, ''] : [true, 'ran\n'])
    }
  },
)

/** Processes with these words. */
function running(words: readonly string[]): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && readProc(`${name}/cmdline`) === `${words.join('\0')}\0`)
    .map(Number)
}

// Last: it kills the launchers.
test(
  'L8: a run of another uid dies with the launcher, which it does for its own second word to the kernel alone',
  { skip },
  async () => {
    for (const [bare, isOurs] of both()) {
      const words = ['/usr/bin/sleep', isOurs ? '4711' : '4712']
      const asked = bare.run(bare.plan('place'), words, { id: 1234 })
      await until(() => running(words).length === 1, 10_000)
      bare.bridge.launcher().kill('SIGKILL')
      await exitOf(bare.bridge.launcher())
      if (isOurs) await until(() => running(words).length === 0, 5_000)
      else await sleep(300)
      const left = running(words)
      for (const pid of left) process.kill(pid, 'SIGKILL')
      assert.equal(left.length, isOurs ? 0 : 1)
      await asked
    }
  },
)
