import assert from 'node:assert/strict'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import test from 'node:test'
import { openBusDirectories } from './bus-directory.ts'

function withDirectory(act: (directory: string) => void): void {
  const directory = mkdtempSync('/tmp/belladonna-buses.')
  try {
    act(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

test('bus directory: each is a new one, open to whoever comes so far, and goes with what is in it', () => {
  withDirectory((directory) => {
    const make = openBusDirectories(directory)
    const [one, two] = [make(), make()]
    assert.notEqual(one.path, two.path)
    const { dev, ino, mode } = lstatSync(one.path, { bigint: true })
    assert.deepEqual([one.device, one.inode, mode & 0o7777n], [dev, ino, 0o777n])
    writeFileSync(join(directory, 'outside'), '')
    mkdirSync(join(one.path, 'left'))
    symlinkSync(join(directory, 'outside'), join(one.path, 'left/link'))
    one.release()
    one.release()
    assert.deepEqual(readdirSync(directory).sort(), ['2', 'outside'])
    two.release()
  })
})

test('bus directory: what an earlier life left is removed first', () => {
  withDirectory((directory) => {
    mkdirSync(join(directory, '1'))
    writeFileSync(join(directory, '1/0'), '')
    openBusDirectories(directory)
    assert.deepEqual(readdirSync(directory), [])
  })
})

test('bus directory: one that cannot be made is a refusal, and leaves nothing', () => {
  withDirectory((directory) => {
    const make = openBusDirectories(directory)
    rmSync(directory, { recursive: true })
    assert.throws(make, { code: 'path_refused' })
    assert.ok(!existsSync(directory))
  })
})

test('promise 7: bus directory: one that its proxy keeps filling ends nobody, is tried again, and its name is not used again', () => {
  withDirectory((directory) => {
    let isBusy = true
    const remove = (path: string): void => {
      if (isBusy) throw new Error(`ENOTEMPTY, ${path}`)
      rmSync(path, { recursive: true })
    }
    const make = openBusDirectories(directory, remove)
    make().release()
    assert.deepEqual(readdirSync(directory), ['1'])
    const later = openBusDirectories(directory, remove) // nor does it keep the next one from starting
    const second = later()
    assert.deepEqual(readdirSync(directory).sort(), ['1', '2'])
    isBusy = false
    second.release()
    later().release()
    assert.deepEqual(readdirSync(directory), [])
  })
})
