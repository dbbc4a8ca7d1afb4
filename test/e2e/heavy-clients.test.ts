/** What a client can hand to the launcher so that it waits, or chokes: then everybody waits with it. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { formatRequest } from '../../src/core/protocol/request.ts'
import { compile, openScratch } from '../native/compile.ts'
import { actionText } from '../support/action-text.ts'
import { childrenOf, readProc, run, runAs, startBridge } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const granted = 61_291
const stranger = 61_292
const policy = `
schema = 1
[profile.p]
${actionText('id', 'p', ['/usr/bin/id', '-u'])}
${actionText('wait', 'p', ['/usr/bin/sleep', '4'])}
[[grant]]
who = ["uid:${granted}"]
may = ["id", "wait"]
`
const asGranted = { uid: granted, groups: [] }
const scratch = openScratch()
chmodSync(scratch.path, 0o755)
let bridge: TestBridge
let program = ''
before(async () => {
  if (skip) return
  program = compile(scratch.path, 'heavy-client.c')
  bridge = await startBridge({ policy })
})
after(async () => {
  scratch[Symbol.dispose]()
  if (!skip) await bridge[Symbol.asyncDispose]()
})

/** A frame for an action that mostly nobody has, so that nothing that is granted plays a part. */
const frameFile = (name: string, bytes: number, action = 'no.such'): string => {
  const value = 'a'.repeat(Math.floor(bytes / 2))
  const parameters = bytes === 0 ? [] : ['p', 'p'].map((p) => ({ name: p, value }))
  const path = join(scratch.path, name)
  const request = formatRequest({ action, reason: '', nonce: null, parameters })
  writeFileSync(path, formatFrame(wireKind.request, request))
  return path
}
const heavy = async (mode: string, ...args: readonly string[]): Promise<string> => {
  const words = [program, mode, bridge.socket, ...args]
  const { status, stdout, stderr } = await runAs(words, { uid: stranger, groups: [] })
  assert.equal(status, 0, stderr)
  return stdout
}
/** How long a subject that does nothing strange waits meanwhile, in milliseconds. */
const othersWait = async (): Promise<number> => {
  const start = performance.now()
  assert.equal((await bridge.bell(['id'], asGranted)).status, 0)
  return performance.now() - start
}

test(
  'C34 promise 7: who holds a lease on sealed memory cannot hold up the launcher',
  { skip },
  async () => {
    const answer = heavy('lease', frameFile('small', 0))
    await new Promise((resolve) => setTimeout(resolve, 200))
    const waited = await othersWait()
    assert.ok(waited < 2_000, `${waited} ms`) // a lease is broken after 45 s
    assert.match(await answer, /stdio_not_accepted/)
  },
)

for (const mode of ['linger', 'unread']) {
  test(
    `C34 promise 7: a socket whose close waits for its peer holds up nobody (${mode})`,
    { skip },
    async () => {
      const answer = heavy(mode, frameFile('small', 0))
      for (let round = 0; round < 8; round += 1) {
        const waited = await othersWait()
        assert.ok(waited < 2_000, `${waited} ms`) // the socket waits for 20 s
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      await answer
    },
  )
}

test(
  'C34 promise 7: nor where who cloned a run has not let go of it before it ended',
  { skip },
  async () => {
    const { launcher, broker, executor } = bridge.pids()
    const outside = /^NSpid:\t\d+$/m // of a pid namespace of its own: no spare
    const cloning = childrenOf(launcher).filter(
      (pid) => ![broker, executor].includes(pid) && outside.test(readProc(`${pid}/status`)),
    )
    const slow = spawn(compile(scratch.path, 'slow-closer.c'), ['400', ...cloning.map(String)])
    await new Promise((resolve) => slow.stdout.once('data', resolve))
    try {
      for (let run = 0; run < 6; run += 1) await othersWait() // then a run gets a spare of just now
      const words = [program, 'linger', bridge.socket, frameFile('granted', 0, 'id')]
      const identity = ['--reuid', `${granted}`, '--regid', `${granted}`, '--clear-groups']
      const answer = run(['/usr/bin/setpriv', ...identity, ...words])
      for (let round = 0; round < 8; round += 1) {
        const waited = await othersWait()
        assert.ok(waited < 4_000, `${waited} ms`) // the socket waits for 5 s
      }
      assert.equal((await answer).status, 0)
    } finally {
      slow.kill('SIGKILL')
    }
  },
)

test(
  'C34 promise 7: a file whose close waits for the client’s own file server holds up nobody',
  { skip },
  async (t) => {
    const words = [program, 'fuse', bridge.socket, frameFile('small', 0), `${stranger}`]
    const answer = run(words)
    // As many as there are spares, and more: each was cloned while the launcher had that descriptor.
    for (let round = 0; round < 20; round += 1) {
      const waited = await othersWait()
      assert.ok(waited < 2_000, `${waited} ms`) // the file waits for 6 s
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    const { status, stderr } = await answer
    if (status === 77) t.skip(stderr)
    else assert.equal(status, 0, stderr)
  },
)

test(
  'C88 promise 7: four strangers with 32 requests of 60 KiB each, ten times, cost nobody a run',
  { skip },
  async () => {
    const { broker, executor } = bridge.pids()
    const running = bridge.bell(['wait'], asGranted)
    const frame = frameFile('large', 60_000)
    const answers = ['none', 'unavailable', 'busy', 'decided'] as const
    const totals = { none: 0, unavailable: 0, busy: 0, decided: 0 }
    for (let round = 0; round < 10; round++) {
      const floods = [0, 1, 2, 3].map(
        async (n) => await run([program, 'flood', bridge.socket, frame, `${61_300 + n}`, '32']),
      )
      for (const { stdout } of await Promise.all(floods)) {
        const counts = new Map(Object.entries(Object(JSON.parse(stdout))))
        for (const name of answers) totals[name] += Number(counts.get(name))
      }
    }
    console.log(totals)
    assert.equal(totals.unavailable, 0)
    assert.ok(totals.decided > 100)
    const after = bridge.pids()
    assert.deepEqual([after.broker, after.executor], [broker, executor])
    assert.ok((await othersWait()) < 2_000)
    assert.equal((await running).status, 0)
  },
)

test(
  'promise 7: requests of clients that were let in before a service died do not put its restart off',
  { skip },
  async () => {
    const words = [program, 'late', bridge.socket, frameFile('small', 0)]
    const start = performance.now()
    const { stdout } = await run([...words, `${bridge.pids().broker}`, '8'])
    await bridge.ready()
    assert.match(stdout, /"unavailable"/)
    const away = performance.now() - start
    assert.ok(away < 5_000, `${away} ms`)
  },
)
