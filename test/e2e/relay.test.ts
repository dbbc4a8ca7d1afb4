/** Runs whose output goes through a relay: what arrives, and what is recorded of it. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { readProc } from '../support/bridge.ts'
import { capped, startRelayBridge, stream, written } from '../support/relay-bridge.ts'
import type { Ended, RelayBridge } from '../support/relay-bridge.ts'

const skip = process.geteuid?.() !== 0
let at: RelayBridge
before(async () => {
  if (!skip) at = await startRelayBridge()
})
after(async () => {
  if (!skip) await at[Symbol.asyncDispose]()
})

const sizes = [0, 1, 4096, 65_535, 65_536, 65_537, 1_000_003, 10 * 1024 ** 2]
for (const size of sizes) {
  test(
    `relay: ${size} bytes arrive as they were written, and their digest says so`,
    { skip },
    async () => {
      const input = randomBytes(size)
      let stdout: Buffer = Buffer.alloc(0)
      const outcome = await at.outcomeOf(async () => {
        stdout = (await at.startBell(['copy'], { input }).end).stdout
      })
      assert.ok(stdout.equals(input))
      const none = stream(new Uint8Array())
      assert.deepEqual(outcome.output, {
        ...{ kind: 'capped', limitBytes: 64 * 1024 ** 2, truncated: false, undelivered: false },
        ...{ stdout: stream(input), stderr: none, terminal: null },
      })
    },
  )
}

test('relay: both streams at once, each in its order', { skip }, async () => {
  const ended = { status: null, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) }
  const outcome = await at.outcomeOf(async () => {
    Object.assign(ended, await at.startBell(['write.large', 'out=3000001', 'err=2000003']).end)
  })
  assert.equal(ended.status, 0)
  assert.ok(ended.stdout.equals(written(3_000_001)))
  assert.ok(ended.stderr.equals(written(2_000_003)))
  assert.deepEqual(capped(outcome).stdout, stream(written(3_000_001)))
  assert.deepEqual(capped(outcome).stderr, stream(written(2_000_003)))
})

const caps: readonly (readonly [out: number, err: number, truncated: boolean])[] = [
  [999, 0, false],
  [1000, 0, false],
  [1001, 0, true],
  [0, 1001, true],
  [600, 400, false],
  [300_000, 0, true],
]
for (const [out, err, truncated] of caps) {
  const title = `relay: a cap of 1000 bytes is exact for ${out} on stdout and ${err} on stderr`
  test(title, { skip }, async () => {
    let ended: Ended | undefined
    const outcome = await at.outcomeOf(async () => {
      ended = await at.startBell(['write.small', `out=${out}`, `err=${err}`]).end
    })
    assert.equal(ended?.status, 0)
    const said = truncated
      ? `bell: the output was cut off at the action's limit: 1000 of ${out + err} bytes were passed on\n`
      : ''
    const passedOn = ended.stderr.length - said.length
    assert.equal(ended.stderr.subarray(passedOn).toString(), said)
    assert.equal(ended.stdout.length + passedOn, Math.min(out + err, 1000))
    assert.ok(ended.stderr.subarray(0, passedOn).equals(written(passedOn)))
    assert.deepEqual(capped(outcome), {
      ...{ kind: 'capped', limitBytes: 1000, truncated, undelivered: false },
      stdout: stream(written(Math.min(out, 1000)), out),
      stderr: stream(written(Math.min(err, 1000)), err),
      terminal: null,
    })
    assert.ok(ended.stdout.equals(written(Math.min(out, 1000))))
  })
}

test('relay: the cap is of both streams together', { skip }, async () => {
  const outcome = await at.outcomeOf(
    async () => await at.startBell(['write.small', 'out=900', 'err=900']).end,
  )
  const { stdout, stderr, truncated } = capped(outcome)
  assert.equal(stdout.delivered + stderr.delivered, 1000)
  assert.deepEqual([stdout.written, stderr.written, truncated], [900, 900, true])
})

test('relay: the client is told of the output as the entry tells it', { skip }, async () => {
  let line = ''
  const outcome = await at.outcomeOf(async () => {
    const { stderr } = await at.startBell(['--json', 'write.small', 'out=1500', 'err=0']).end
    line = stderr.toString()
  })
  const { truncated, undelivered, stdout, stderr } = capped(outcome)
  const sizes = ({ written, delivered }: typeof stdout): unknown => ({ written, delivered })
  assert.equal(truncated, true)
  const output = { truncated, undelivered, stdout: sizes(stdout), stderr: sizes(stderr) }
  assert.match(line, /^\{"end":"exited","value":0,"action_digest":"[0-9a-f]{64}",/)
  assert.ok(line.endsWith(`,"output":${JSON.stringify(output)}}\n`), line)
})

test('relay: without limits.output the cap is 1 MiB', { skip }, async () => {
  const outcome = await at.outcomeOf(async () => {
    const { stdout } = await at.startBell(['write.default', 'out=1048577', 'err=0']).end
    assert.equal(stdout.length, 1_048_576)
  })
  assert.equal(capped(outcome).truncated, true)
})

test('C89: ten gigabytes of output cost neither memory nor the run', { skip }, async () => {
  const { broker, launcher } = at.bridge.pids()
  const rss = (pid: number): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readProc(`${pid}/status`))?.[1])
  const before = [rss(broker), rss(launcher)]
  let most = 0
  const outcome = await at.outcomeOf(async () => {
    const timer = setInterval(
      () => at.relays().forEach((pid) => (most = Math.max(most, rss(pid)))),
      100,
    )
    const { status, stdout } = await at.startBell(['ten.gigabytes']).end
    clearInterval(timer)
    assert.deepEqual([status, stdout.length], [0, 1_048_576])
  })
  const { written: all, delivered } = capped(outcome).stdout
  assert.deepEqual([all, delivered], [10 * 1024 ** 3, 1_048_576])
  const [brokerBefore = 0, launcherBefore = 0] = before
  assert.ok(rss(broker) - brokerBefore < 64 * 1024, `${rss(broker) - brokerBefore} KiB`)
  assert.ok(rss(launcher) - launcherBefore < 1024)
  assert.ok(most > 0 && most < 2048, `relay ${most} KiB`)
})
