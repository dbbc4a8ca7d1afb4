/**
 * A bridge whose log and receipts lie on a file system that gets full. It mounts that itself, so full-disk.test.ts starts it
 * in a mount namespace of its own: nobody else sees the mount, and it goes with the process.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { actionText } from '../../support/action-text.ts'
import { caller, exitOf, startBridge, until } from '../../support/bridge.ts'

const root = mkdtempSync('/tmp/belladonna.')
chmodSync(root, 0o755)
const lib = join(root, 'var/lib/belladonna')
mkdirSync(lib, { recursive: true, mode: 0o755 })
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m,mode=755', 'none', lib])
const evidence = mkdtempSync('/var/lib/belladonna-test.')
const policy = `
schema = 1
[profile.p]
write = ["${evidence}"]
[profile.held]
stdin = "stream"
[action.hold]
about = "ends with its input"
command = ["/usr/bin/cat"]
run_as = "root"
profile = "held"
risk = "read-only"
${actionText('touch', 'p', ['/usr/bin/touch', `${evidence}/{id}`])}
[action.touch.params.id]
match = '[a-z0-9]+'
max_length = 32
[[grant]]
who = ["group:sudo"]
may = ["touch", "hold"]
`
await using bridge = await startBridge({ policy, root })
await using cleaning = new AsyncDisposableStack()
cleaning.defer(async () => {
  await bridge.stop()
  execFileSync('umount', [lib])
})
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

/** To the brim: a page that is left is one that a log may still take. */
function fillUp(): number {
  const { bavail, bsize } = statfsSync(lib)
  if (bavail > 0)
    writeFileSync(join(lib, `ballast${readdirSync(lib).length}`), Buffer.alloc(bavail * bsize, 1))
  return bavail
}

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
  fillUp()
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
const outcomes = (): number => bridge.entries().filter(({ kind }) => kind === 'outcome').length
await until(() => outcomes() === counts.ran + 1, 5_000)
assert.deepEqual(bridge.pids(), pids)

// A start on the full disk: it records itself in what was prepared, and refuses.
await bridge.stop()
await bridge.startAgain()
assert.equal(await ask('full'), 'log_full')

for (const name of readdirSync(lib).filter((name) => name.startsWith('ballast')))
  rmSync(join(lib, name))
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
