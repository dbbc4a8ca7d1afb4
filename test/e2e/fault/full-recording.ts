/** A bridge whose recordings lie on a file system that gets full; see small-disk.ts. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { bridgePaths } from '../../../src/host/layout.ts'
import { grantedActionText as granted } from '../../support/action-text.ts'
import { caller, exitOf, until } from '../../support/bridge.ts'
import { readRecording, recorded, recordingPath } from '../../support/recorded-bridge.ts'
import { startOnSmallDisk } from './small-disk.ts'

const writes = 'echo here; read line; while :; do echo more; sleep 0.01; done'
const policy = `schema = 1
[profile.kept]
output = "recorded"
stdin = "stream"
limits = { output = "256K", time = "30s" }
${granted('writes', 'kept', ['/usr/bin/dash', '-c', writes])}
${granted('look', 'kept', ['/usr/bin/echo', 'here'])}
`
await using disk = await startOnSmallDisk(policy)
const { bridge } = disk
const directory = bridgePaths(bridge.root).recordings
const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--groups', '27']
const words = [...identity, bridge.bellPath, '-S', bridge.socket, 'writes']

async function begin(): Promise<ReturnType<typeof spawn>> {
  const bell = spawn('/usr/bin/setpriv', words, { stdio: ['pipe', 'pipe', 'pipe'] })
  await new Promise((resolve) => bell.stdout.once('data', resolve))
  return bell
}

// What a run may write was set aside before it began: a disk that gets full in its middle takes nothing from it.
const held = await begin()
disk.fillUp()
const whole = await bridge.outcomeOf(async () => {
  held.stdin?.write('go\n')
  await new Promise((resolve) => setTimeout(resolve, 500))
  held.kill('SIGTERM')
  await exitOf(held)
})
assert.equal(whole.end.kind, 'signalled')
assert.equal(recorded(whole).recording.incomplete, null)
assert.ok(readRecording(bridge.root, recorded(whole).recording).of('stdout').length > 100)

// A run that it has no room for does not begin, and leaves nothing; the bridge goes on.
const before = readdirSync(directory).length
const refused = await bridge.outcomeOf(async () => {
  const { status, stderr } = await bridge.bell(['look'])
  assert.equal(status, 125)
  assert.match(stderr, /not started: recording: No space left on device/)
})
assert.deepEqual([refused.end.kind, refused.end.stage], ['failed', 'recording'])
assert.deepEqual(refused.output, { kind: 'unknown', recording: null })
assert.equal(readdirSync(directory).length, before)

// Where the room is gone all the same, the run is ended, and the entry says why and how much there is.
disk.clear()
const lost = await bridge.outcomeOf(async () => {
  const bell = await begin()
  const said: Buffer[] = []
  bell.stderr?.on('data', (bytes: Buffer) => said.push(bytes))
  const name = readdirSync(directory).find((file) => isOpen(file)) ?? ''
  execFileSync('fallocate', ['-p', '-o', '4096', '-l', '1048576', `${directory}/${name}`])
  disk.fillUp()
  bell.stdin?.write('go\n')
  assert.equal(await exitOf(bell), 125)
  assert.match(
    Buffer.concat(said).toString(),
    /could not be recorded any more, the command was killed/,
  )
})
assert.deepEqual([lost.end.kind, lost.end.stage], ['lost', 'recording'])
const { recording, stdout } = recorded(lost)
assert.equal(recording.incomplete, 'no_space')
const file = readRecording(bridge.root, recording)
assert.deepEqual([file.isWhole, file.bytes.length], [false, recording.size])
assert.ok(stdout.delivered <= file.of('stdout').length)
assert.ok(recordingPath(bridge.root, recording).startsWith(directory))

disk.clear()
assert.equal((await bridge.bell(['look'])).stdout, 'here\n')
await until(async () => (await bridge.verify()).problems.length === 0, 10_000) // once it is signed

/** Whether its room is still set aside: more than it has bytes. */
function isOpen(name: string): boolean {
  const [size = 0, blocks = 0] = execFileSync('stat', ['-c', '%s %b', `${directory}/${name}`], {
    encoding: 'utf8',
  })
    .split(' ')
    .map(Number)
  return blocks * 512 > size + 8192
}
