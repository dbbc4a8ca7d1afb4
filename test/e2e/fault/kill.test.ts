/**
 * Kills each process at each step of a request that matters, by strace's injection at the step's own system call, and then
 * asks the disk. What the command itself left behind is the evidence; nothing that Belladonna says counts as such.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { exitOf, readProc, startBridge, until } from '../../support/bridge.ts'
import type { BellResult, TestBridge } from '../../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const evidence = skip ? '' : mkdtempSync('/var/lib/belladonna-test.')
let bridge: TestBridge
const counts = { kills: 0, hits: 0, requests: 0, acknowledged: 0, ran: 0 }
const acknowledged = new Set<string>()

const policy = `
schema = 1
[profile.p]
write = ["${evidence}"]
[action.touch]
about = "x"
command = ["/usr/bin/touch", "${evidence}/{id}"]
run_as = "root"
profile = "p"
risk = "read-only"
[action.touch.params.id]
match = '[a-z0-9]+'
max_length = 32
[[grant]]
who = ["group:sudo"]
may = ["touch"]
`

before(async () => {
  if (!skip) bridge = await startBridge({ policy })
})
after(async () => {
  if (skip) return
  await bridge[Symbol.asyncDispose]()
  rmSync(evidence, { recursive: true })
  console.log(JSON.stringify(counts))
})

async function touch(id: string): Promise<BellResult> {
  counts.requests += 1
  const result = await bridge.bell(['touch', `id=${id}`])
  if (result.status === 0) {
    counts.acknowledged += 1
    acknowledged.add(id)
  }
  return result
}

/** After a crash and the next start: whatever ran has its receipt and its entry, and the log verifies. */
async function inspect(): Promise<void> {
  if (bridge.launcher().exitCode !== null || bridge.launcher().signalCode !== null)
    await bridge.startAgain()
  await bridge.ready()
  // Anew: the launcher waits longer before each restart of services that did not live for a minute.
  await bridge.stop()
  await bridge.startAgain()
  await until(async () => (await bridge.verify()).unsigned_tail === 0, 10_000)
  const report = await bridge.verify()
  assert.deepEqual(report.problems, [])
  const intents = bridge
    .entries()
    .filter((entry) => entry.kind === 'intent')
    .map(({ action }) => action)
  const closed = bridge
    .entries()
    .filter(
      (entry) => entry.kind === 'outcome' || (entry.kind === 'recovered' && entry.receipt !== null),
    )
  assert.equal(report.receipts, closed.length, 'each receipt is closed by an entry')
  const files = readdirSync(evidence)
  counts.ran = files.length
  for (const id of files)
    assert.ok(
      intents.some((text) => text.includes(`${evidence}/${id}"`)),
      `${id} ran without an intent`,
    )
  for (const id of acknowledged)
    assert.ok(files.includes(id), `${id} was acknowledged and did not run`)
  assert.ok(report.receipts >= files.length, 'a run without a receipt')
}

type Step = Readonly<{
  process: 'launcher' | 'broker' | 'executor'
  call: string
  when: number
  means: string
}>
const steps: readonly Step[] = [
  { process: 'executor', call: 'read', when: 1, means: 'SUBMIT is read' },
  { process: 'executor', call: 'write', when: 1, means: 'RESOLVED is sent' },
  { process: 'executor', call: 'write', when: 2, means: 'PREPARE is sent' },
  { process: 'executor', call: 'pwrite64', when: 1, means: 'the receipt is written' },
  { process: 'executor', call: 'fdatasync', when: 1, means: 'the receipt is synced' },
  { process: 'executor', call: 'write', when: 3, means: 'RECEIPT is sent' },
  { process: 'executor', call: 'write', when: 4, means: 'OPEN is sent' },
  { process: 'broker', call: 'read', when: 1, means: 'SUBMIT is read' },
  { process: 'broker', call: 'write', when: 1, means: 'INTEND is sent' },
  { process: 'broker', call: 'pwrite64', when: 1, means: 'the intent is written' },
  { process: 'broker', call: 'fdatasync', when: 1, means: 'the intent is synced' },
  { process: 'broker', call: 'write', when: 2, means: 'RECORDED is sent' },
  { process: 'broker', call: 'pwrite64', when: 2, means: 'the outcome is written' },
  { process: 'launcher', call: 'accept4', when: 1, means: 'the client is accepted' },
  { process: 'launcher', call: 'sendto', when: 1, means: 'SUBMIT is sent' },
  { process: 'launcher', call: 'clone3', when: 1, means: 'the sandbox is started' },
  { process: 'launcher', call: 'write', when: 1, means: 'the gate is opened' },
  { process: 'launcher', call: 'sendto', when: 3, means: 'the client is told' },
]

let number = 0
for (const { process: name, call, when, means } of steps) {
  test(
    `promise 2: ${name} killed when ${means}: nothing ran without a durable receipt`,
    { skip, timeout: 60_000 },
    async () => {
      assert.equal((await touch(`warm${number}`)).status, 0)
      await new Promise((resolve) => setTimeout(resolve, 400)) // the checkpoint after it has its own writes
      const pid = bridge.pids()[name]
      // The executor's and broker's main thread alone: their workers write checkpoints.
      const words = [
        '-q',
        '-p',
        `${pid}`,
        '-e',
        `trace=${call}`,
        '-e',
        `inject=${call}:signal=SIGKILL:when=${when}`,
      ]
      const tracer = spawn('strace', words, { stdio: ['ignore', 'ignore', 'pipe'] })
      await until(() => !/^TracerPid:\t0$/m.test(readProc(`${pid}/status`)), 5_000)
      counts.kills += 1
      const asked = touch(`id${number}`)
      try {
        await until(() => !/^State:\t[^ZX]/m.test(readProc(`${pid}/status`)), 10_000)
        counts.hits += 1
      } finally {
        tracer.kill('SIGTERM')
        await exitOf(tracer)
        await asked
      }
      await inspect()
      number += 1
    },
  )
}

test(
  'promise 2: killed at random moments under load, eight clients at a time',
  { skip, timeout: 120_000 },
  async () => {
    const seed = Date.now() % 100_000
    let state = seed
    const random = (): number =>
      (state = (state * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648
    console.log(`seed ${seed}`)
    for (const [round, name] of (
      ['executor', 'broker', 'launcher', 'executor', 'broker'] as const
    ).entries()) {
      const clients = Array.from({ length: 8 }, async (_, client) => {
        for (let i = 0; i < 12; i++) await touch(`r${round}c${client}n${i}`)
      })
      await new Promise((resolve) => setTimeout(resolve, 20 + random() * 150))
      process.kill(bridge.pids()[name], 'SIGKILL')
      counts.kills += 1
      counts.hits += 1
      await Promise.all(clients)
      await inspect()
    }
  },
)
