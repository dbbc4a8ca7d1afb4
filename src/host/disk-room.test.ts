import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openDiskRoom } from './disk-room.ts'

test(
  'promise 7: disk room: a disk is tight when less than a sixteenth of it is left, and is looked at once a second',
  { skip: process.geteuid?.() !== 0 },
  (t) => {
    const directory = mkdtempSync('/var/lib/belladonna-test.')
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16M', 'none', directory])
    t.after(() => {
      execFileSync('umount', [directory])
      rmdirSync(directory)
    })
    let nowMs = 0
    const isTight = openDiskRoom(directory, () => nowMs)
    assert.equal(isTight(), false)
    const file = join(directory, 'file')
    writeFileSync(file, Buffer.alloc(15 * 1024 * 1024 + 512 * 1024))
    nowMs = 999
    assert.equal(isTight(), false)
    nowMs = 1000
    assert.equal(isTight(), true)
    rmSync(file)
    nowMs = 2000
    assert.equal(isTight(), false)
  },
)
