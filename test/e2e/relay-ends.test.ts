/** Runs whose output goes through a relay: clients that go away, relays that are ended, and what a relay may do. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chownSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { caller, exitOf, readProc, run, until } from '../support/bridge.ts'
import { capped, startRelayBridge, stream, written } from '../support/relay-bridge.ts'
import type { RelayBridge } from '../support/relay-bridge.ts'

const skip = process.geteuid?.() !== 0
let at: RelayBridge
before(async () => {
  if (!skip) at = await startRelayBridge()
})
after(async () => {
  if (!skip) await at[Symbol.asyncDispose]()
})

test(
  'relay: a client that takes nothing cannot hold a run beyond its time limit',
  { skip },
  async () => {
    const outcome = await at.outcomeOf(async () => {
      const bell = at.startBell(['forever'], { take: false })
      assert.equal((await bell.end).status, 124)
    })
    assert.equal(outcome.end.kind, 'timed_out')
    const { undelivered, stdout } = capped(outcome)
    assert.equal(undelivered, true)
    assert.ok(stdout.written >= stdout.delivered && stdout.delivered > 0)
  },
)

test(
  'relay: what the client did not take when the command was over is said',
  { skip },
  async () => {
    for (let time = 0; time < 5; time++) {
      const outcome = await at.outcomeOf(async () => {
        const identity = `setpriv --reuid ${caller.uid} --regid ${caller.gid} --groups 27`
        const bell = `${identity} ${at.bridge.bellPath} -S ${at.bridge.socket} zeros`
        // A pipe of 64 KiB that nobody reads.
        const { stderr } = await run(['sh', '-c', `(${bell}; echo $? >&2) < /dev/null | sleep 1.5`])
        assert.equal(stderr, '0\n')
      })
      assert.deepEqual([outcome.end.kind, capped(outcome).undelivered], ['exited', true])
      assert.deepEqual(capped(outcome).stdout, stream(new Uint8Array(65_536), 120_000))
    }
  },
)

test('relay: a client that reads a byte now and then, and goes away', { skip }, async () => {
  const outcome = await at.outcomeOf(async () => {
    const bell = at.startBell(['yes'], { take: false })
    for (let i = 0; i < 3; i++) {
      await sleep(300)
      bell.child.stdout?.read(1)
    }
    bell.child.stdout?.destroy()
    bell.child.kill('SIGKILL')
    await bell.end
  })
  const { undelivered, stdout } = capped(outcome)
  assert.equal(undelivered, true)
  assert.equal(stdout.sha256, stream(Buffer.from('y\n'.repeat(stdout.delivered / 2))).sha256)
})

test(
  'relay: a reader that has enough ends the command by SIGPIPE, as without a relay',
  { skip },
  async () => {
    const outcome = await at.outcomeOf(async () => {
      const bell = at.startBell(['yes'], { take: false })
      bell.child.stdout?.once('readable', () => bell.child.stdout?.destroy())
      await bell.end
    })
    assert.deepEqual([outcome.end.kind, outcome.end.value], ['signalled', 13])
  },
)

test('relay: the exit status comes after streams that were closed early', { skip }, async () => {
  const { status, stdout } = await at.startBell(['seven']).end
  assert.deepEqual([status, stdout.toString()], [7, 'out\n'])
})

test('relay: killed, its run is lost, and the log says so', { skip }, async () => {
  const outcome = await at.outcomeOf(async () => {
    const bell = at.startBell(['sleep'])
    await until(() => at.relays().length === 1, 5_000)
    const [pid = 0] = at.relays()
    assert.notEqual(pid, 0)
    await until(() => at.bridge.entries().at(-1)?.kind === 'intent', 5_000)
    process.kill(pid, 'SIGKILL')
    assert.equal((await bell.end).status, 125)
  })
  assert.deepEqual(
    [outcome.end.kind, outcome.output],
    ['lost', { kind: 'unknown', recording: null }],
  )
  assert.deepEqual(at.relays(), [])
})

test('relay: stopped, it holds a run for the time limit and two graces', { skip }, async () => {
  const outcome = await at.outcomeOf(async () => {
    const bell = at.startBell(['forever'])
    await until(() => at.relays().length === 1, 5_000)
    const [pid = 0] = at.relays()
    assert.notEqual(pid, 0)
    process.kill(pid, 'SIGSTOP')
    await bell.end
  })
  assert.deepEqual(
    [outcome.end.kind, outcome.output],
    ['lost', { kind: 'unknown', recording: null }],
  )
})

test('relay: without privilege, and only where the profile asks for it', { skip }, async () => {
  const bell = at.startBell(['sleep'])
  await until(() => at.relays().length === 1, 5_000)
  const [pid = 0] = at.relays()
  await until(() => readProc(`${pid}/status`).includes('Seccomp_filters:\t2'), 5_000)
  const status = readProc(`${pid}/status`)
  assert.match(status, /^Uid:\t61201\t61201\t61201\t61201$/m)
  assert.match(status, /^Gid:\t61201\t61201\t61201\t61201$/m)
  assert.match(status, /^Groups:\t ?$/m)
  for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'])
    assert.match(status, new RegExp(`^Cap${set}:\t0{16}$`, 'm'))
  assert.match(status, /^NoNewPrivs:\t1$/m)
  assert.match(status, /^Seccomp:\t2$/m)
  assert.match(status, /^Threads:\t1$/m)
  assert.match(readProc(`${pid}/limits`), /^Max processes +0 +0 /m)
  assert.match(readProc(`${pid}/limits`), /^Max open files +11 +11 /m)
  const owner = execFileSync('stat', ['-c', '%u', `/proc/${pid}/environ`], { encoding: 'utf8' })
  assert.equal(owner, '0\n') // of a dumpable process it would be its own uid
  assert.equal(readProc(`${pid}/environ`), '')
  bell.child.kill('SIGTERM')
  await bell.end
  await until(() => at.relays().length === 0, 5_000)
  const plain = at.startBell(['pass.sleep'])
  await sleep(300)
  assert.deepEqual(at.relays(), [])
  plain.child.kill('SIGTERM')
  await plain.end
})

test('relay: a file gets the output behind what it has', { skip }, async () => {
  const file = join(at.bridge.root, 'output')
  writeFileSync(file, 'before\n')
  chownSync(file, caller.uid, caller.gid)
  const words = [at.bridge.bellPath, '-S', at.bridge.socket, 'write.default', 'out=70000', 'err=0']
  const identity = `setpriv --reuid ${caller.uid} --regid ${caller.gid} --groups 27`
  const child = spawn('sh', ['-c', `${identity} "$@" >> ${file} < /dev/null`, 'sh', ...words])
  assert.equal(await exitOf(child), 0)
  assert.ok(readFileSync(file).equals(Buffer.concat([Buffer.from('before\n'), written(70_000)])))
})

test('relay: a terminal gets the output whole', { skip }, async () => {
  const inner = `setpriv --reuid ${caller.uid} --regid ${caller.gid} --groups 27 ${at.bridge.bellPath} -S ${at.bridge.socket}`
  const lines = execFileSync('script', [
    '-qec',
    `${inner} write.default out=20000 err=0 | cat`,
    '/dev/null',
  ])
  assert.ok(lines.length >= 20_000)
  const outcome = await at.outcomeOf(async () => {
    const child = spawn('script', [
      '-qec',
      `stty raw; ${inner} write.default out=50000 err=0`,
      '/dev/null',
    ])
    let size = 0
    child.stdout.on('data', ({ length }: Buffer) => (size += length))
    await new Promise((resolve) => child.once('close', resolve))
    assert.equal(size, 50_000)
  })
  assert.deepEqual(capped(outcome).terminal, stream(written(50_000)))
  assert.deepEqual(capped(outcome).stdout, stream(new Uint8Array()))
})
