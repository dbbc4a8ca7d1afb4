import assert from 'node:assert/strict'
import { test } from 'node:test'
import { join } from 'node:path'
import { run } from '../../support/bridge.ts'

const skip = process.geteuid?.() !== 0

test(
  'C66 promise 2 promise 6 promise 9: on a full disk nothing new begins, what runs gets its end record, and space that is made is used',
  { skip, timeout: 120_000 },
  async () => {
    const program = join(import.meta.dirname, 'full-disk.ts')
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', program]
    const { status, stdout, stderr } = await run(['unshare', '-m', ...node])
    assert.equal(status, 0, stderr)
    console.log(`full disk: ${stdout}`)
    const counts: Readonly<Record<string, number>> = JSON.parse(stdout)
    assert.ok(Number(counts['refused']) > 0 && Number(counts['ran']) > 0)
  },
)

test(
  'C66 promise 6: where there is no room to count a use it is refused, and nobody ends',
  { skip, timeout: 120_000 },
  async () => {
    const program = join(import.meta.dirname, 'full-state.ts')
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', program]
    const { status, stderr } = await run(['unshare', '-m', ...node])
    assert.equal(status, 0, stderr)
  },
)

test(
  'C66 promise 6 promise 9: a recording has its room before the run begins, or there is no run; and who loses it ends',
  { skip, timeout: 120_000 },
  async () => {
    const program = join(import.meta.dirname, 'full-recording.ts')
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', program]
    const { status, stderr } = await run(['unshare', '-m', ...node])
    assert.equal(status, 0, stderr)
  },
)

test(
  'C66 promise 7 promise 9: who fills the disk with recordings takes nobody’s entries from the log',
  { skip, timeout: 120_000 },
  async () => {
    const program = join(import.meta.dirname, 'many-recordings.ts')
    const node = [process.execPath, '--disable-warning=ExperimentalWarning', program]
    const { status, stderr } = await run(['unshare', '-m', ...node])
    assert.equal(status, 0, stderr)
  },
)
