/** A bridge whose log and receipts lie on a file system that gets full; see small-disk.ts. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { actionText } from '../../support/action-text.ts'
import { caller, exitOf, until } from '../../support/bridge.ts'
import { startOnSmallDisk } from './small-disk.ts'

const evidence = mkdtempSync('/var/lib/belladonna-test.')
const policy = `
schema = 1
[profile.p]
write = ["${evidence}"]
[profile.held]
stdin = "stream"
${actionText('hold', 'held', ['/usr/bin/cat'])}
${actionText('touch', 'p', ['/usr/bin/touch', `${evidence}/{id}`])}
[action.touch.params.id]
match = '[a-z0-9]+'
max_length = 32
[[grant]]
who = ["group:sudo"]
may = ["touch", "hold"]
`
await using disk = await startOnSmallDisk(policy)
const { bridge } = disk
const pids = bridge.pids()
const isHeld = (): boolean =>
  bridge
    .entries()
    .some(
      ({ kind, ...entry }) => kind === 'intent' && JSON.stringify(entry).includes('/usr/bin/cat'),
    )

const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`]
const words = [...identity, '--groups', '27', bridge.bellPath, '-S', bridge.socket, 'hold']
const held = spawn('/usr/bin/setpriv', words, { stdio: ['pipe', 'pipe', 'inherit'] })
held.stdin.write('still here')
await new Promise((resolve) => held.stdout.once('data', resolve))
assert.ok(isHeld())

const counts = { ran: 0, refused: 0, after: 0 }
const acknowledged: string[] = []
async function ask(id: string): Promise<string> {
  const { status, stderr } = await bridge.bell(['touch', `id=${id}`])
  if (status === 0) {
    acknowledged.push(id)
    return 'ran'
  }
  assert.equal(status, 125, stderr)
  return /"code":"([a-z_]+)"|\b(log_full)\b/.exec(stderr)?.slice(1).find(Boolean) ?? stderr
}

// Until the prepared space is used up down to the reserve, then some more: each refusal asks the disk again.
for (let asked = 0; counts.refused < 20; asked += 1) {
  assert.ok(asked < 3_000, 'the disk never got full')
  disk.fillUp()
  const answer = await ask(`a${asked}`)
  if (answer === 'ran') counts.ran += 1
  else {
    assert.equal(answer, 'log_full')
    counts.refused += 1
  }
}
assert.ok(counts.ran > 50, `${counts.ran} ran`)
assert.deepEqual(readdirSync(evidence).toSorted(), acknowledged.toSorted())
assert.equal(bridge.entries().filter(({ kind }) => kind === 'denial').length, 0)
const status = await fetchStatus()
assert.equal(status, counts.refused)

// What was started before still gets its end, and nobody died for want of space.
held.stdin.end()
assert.equal(await exitOf(held), 0)
await until(() => bridge.outcomes().length === counts.ran + 1, 5_000)
assert.deepEqual(bridge.pids(), pids)

// A start on the full disk: it records itself in what was prepared, and refuses.
await bridge.stop()
await bridge.startAgain()
assert.equal(await ask('full'), 'log_full')

disk.clear()
await until(async () => (await ask(`b${(counts.after += 1)}`)) === 'ran', 10_000)
assert.deepEqual(readdirSync(evidence).toSorted(), acknowledged.toSorted())
await until(async () => (await bridge.verify()).unsigned_tail === 0, 10_000)
const report = await bridge.verify()
assert.deepEqual(report.problems, [])
assert.equal(report.receipts, acknowledged.length + 1)
rmSync(evidence, { recursive: true })
console.log(JSON.stringify(counts))

async function fetchStatus(): Promise<number> {
  const { stdout } = await bridge.status()
  const answer: Readonly<{ counts: Readonly<{ unrecorded: number }> }> = JSON.parse(stdout)
  return answer.counts.unrecorded
}
