import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSameFile } from './file-stamp.ts'

const stamp = { device: 1n, inode: 2n, size: 3n, mtimeNs: 4n, ctimeNs: 5n }

test('promise 3: file stamp: a change of any part of it is another file', () => {
  assert.equal(isSameFile(stamp, { ...stamp }), true)
  for (const part of Object.keys(stamp)) {
    assert.equal(isSameFile(stamp, { ...stamp, [part]: 9n }), false, part)
  }
})
