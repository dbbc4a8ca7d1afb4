/** What permitted callers do that costs others: after each of it the services that answer must be the same processes. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { actionText } from '../support/action-text.ts'
import { caller, checkout, run, startBridge } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'
import { whileLeased, whileRunning } from '../support/while-running.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
/** As many and as long as parameters may be. */
const names = Array.from({ length: 64 }, (_, at) => `p${at}-${'n'.repeat(60)}`.slice(0, 64))
const directory = mkdtempSync('/var/lib/belladonna-test.')
/** The caller's own: a program that the policy pins, and a file that it may name. */
const theirs = join(directory, 'theirs')
const [tool, file] = [join(theirs, 'tool'), join(theirs, 'file')]
const other = 61_291
let bridge: TestBridge

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  mkdirSync(theirs)
  copyFileSync('/usr/bin/true', tool)
  chmodSync(tool, 0o755)
  writeFileSync(file, 'content\n')
  for (const path of [theirs, tool, file]) chownSync(path, caller.uid, caller.gid)
  const digest = createHash('sha256').update(readFileSync(tool)).digest('hex')
  bridge = await startBridge({
    policy: `schema = 1
[profile.place]
read = ["/usr"]
[profile.tools]
read = ["/usr", "${directory}"]
[profile.bound]
stdin = "bound"
${actionText('hello', 'place', ['/usr/bin/echo', 'hello'])}
${actionText('many', 'place', ['/usr/bin/true', ...names.map((name) => `{${name}}`)])}
[action.many.params]
${names.map((name) => `${JSON.stringify(name)} = { one_of = ["x"] }`).join('\n')}
${actionText('words', 'place', ['/usr/bin/true', ...Array<string>(20).fill('{x}')])}
[action.words.params.x]
match = '[a-z]*'
max_length = 4096
repeat = { max = 64 }
${actionText('limited', 'bound', ['/usr/bin/cat'])}
${actionText('tool', 'tools', [tool])}
sha256 = ["${digest}"]
${actionText('show', 'place', ['/usr/bin/cat', '{file}'])}
[action.show.params]
file = { path = { root = "${theirs}" } }
[[grant]]
who = ["uid:${other}"]
may = ["hello"]
[[grant]]
who = ["uid:${caller.uid}"]
may = ["hello", "many", "words", "tool", "show"]
[[grant]]
who = ["uid:${caller.uid}"]
may = ["limited"]
limit = { rate = "1/h", burst = 1 }
`,
  })
})
after(async () => {
  if (skip === false) await bridge[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

type Pids = ReturnType<TestBridge['pids']>

/** Nobody died of it. */
async function assertServed(pids: Pids): Promise<void> {
  const { status, stdout, stderr } = await bridge.bell(['hello'])
  assert.deepEqual([status, stdout], [0, 'hello\n'], stderr)
  assert.deepEqual(bridge.pids(), pids)
}

test(
  'promise 7: a refusal fits into its frame, however much would be enough',
  { skip },
  async () => {
    const pids = bridge.pids()
    const { status, stderr } = await bridge.bell(['--json', 'many', 'unknown=x'])
    assert.equal(status, 125)
    assert.match(stderr, /"code":"parameter_unknown"/)
    assert.match(stderr, /"enough":"only these parameters: p0-n+, p1-n+, .*…"/)
    await assertServed(pids)
  },
)

test('promise 7: arguments that no command can have are a refusal', { skip }, async () => {
  const pids = bridge.pids()
  const long = Array<string>(16).fill(`x=${'a'.repeat(4000)}`)
  for (const values of [long, Array<string>(64).fill('x=a')]) {
    const { status, stderr } = await bridge.bell(['--json', 'words', ...values])
    assert.equal(status, 125)
    assert.match(stderr, /"code":"not_recorded"/)
    await assertServed(pids)
  }
})

/** The broker asks for a signature each second, so what it says then comes before what the launcher says next. */
const signMs = 1000

test(
  'promise 7: a refusal that overtakes its request keeps nobody waiting',
  { skip, timeout: 60_000 },
  async () => {
    const pids = bridge.pids()
    const limited = async (): Promise<BellResult> =>
      await bridge.bell(['--json', '--bind-stdin', 'limited'], { stdin: 'x' })
    assert.equal((await limited()).stdout, 'x')
    process.kill(pids.executor, 'SIGSTOP')
    await sleep(2 * signMs)
    const refused = await limited()
    process.kill(pids.executor, 'SIGCONT')
    assert.match(refused.stderr, /"code":"rate_limited"/)
    await assertServed(pids)
    const reload = ['policy', 'reload', '--root', bridge.root]
    const { status, stderr } = await run([join(checkout, 'bin/belladonna'), ...reload])
    assert.equal(status, 0, stderr)
    await assertServed(pids)
  },
)

/** What fusermount(1) lets users do with files of theirs: nobody else, root included, may look at what is there. */
const mountFuse = `exec 3<>/dev/fuse; mode=$(printf %o 0x$(stat --format %f "$1"))
mount -i -t fuse -o "fd=3,rootmode=$mode,user_id=$2,group_id=$2" x "$1" && echo mounted && exec sleep 60`

test(
  'promise 7: C88: who holds a lease on a program of theirs keeps nobody waiting',
  { skip, timeout: 90_000 },
  async () => {
    const pids = bridge.pids()
    assert.equal((await bridge.bell(['tool'])).status, 0)
    await whileLeased(tool, caller.uid, async () => {
      const startMs = performance.now()
      const { status, stderr } = await bridge.bell(['--json', 'tool'])
      assert.equal(status, 126)
      assert.match(stderr, /"code":"executable_unsafe"/)
      assert.ok(performance.now() - startMs < 5_000)
      await assertServed(pids)
    })
  },
)

test(
  'promise 6: what only its owner may look at is refused, and nobody dies of it',
  { skip, timeout: 90_000 },
  async () => {
    const pids = bridge.pids()
    assert.equal((await bridge.bell(['show', 'file=file'])).stdout, 'content\n')
    for (const [path, words, code] of [
      [tool, ['tool'], 'executable_unsafe'],
      [file, ['show', 'file=file'], 'path_refused'],
      [theirs, ['show', 'file=file'], 'path_refused'],
      [theirs, ['tool'], 'executable_unsafe'],
    ] as const) {
      try {
        await whileRunning(
          ['/bin/sh', '-c', mountFuse, 'sh', path, `${caller.uid}`],
          0,
          async () => {
            const { status, stderr } = await bridge.bell(['--json', ...words])
            assert.equal(status, code === 'executable_unsafe' ? 126 : 125)
            assert.match(stderr, new RegExp(`"code":"${code}"`))
            await assertServed(pids)
          },
        )
      } finally {
        execFileSync('umount', ['--lazy', path])
      }
    }
  },
)

test(
  'promise 7: C88: a flood that the broker alone refuses ends nobody, and leaves room for others',
  { skip, timeout: 60_000 },
  async () => {
    const pids = bridge.pids()
    const load = join(directory, 'load')
    const sources = ['bench/load.c', 'native/bell/request.c', 'native/bell/sealed.c']
    const paths = sources.map((path) => join(checkout, path))
    execFileSync('gcc', ['-O2', '-std=c11', '-D_GNU_SOURCE', '-o', load, ...paths])
    const who = [`${caller.uid}`, `${caller.gid}`]
    const flood = spawn(load, [...who, bridge.socket, 'limited', '2000', '5'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const ended = new Promise((resolve) => flood.once('close', resolve))
    while (flood.exitCode === null) {
      const { status, stderr } = await bridge.bell(['hello'], { uid: other })
      assert.equal(status, 0, stderr)
      await sleep(100)
    }
    assert.equal(await ended, 0)
    await assertServed(pids)
    assert.deepEqual((await bridge.verify()).problems, [])
  },
)
