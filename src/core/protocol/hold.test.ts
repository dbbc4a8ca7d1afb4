import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Frame } from './frame.ts'
import { openHold } from './hold.ts'

const frame = (kind: number): Frame => ({ kind, body: Uint8Array.of(kind) })

test('hold: nothing is kept before it begins', () => {
  const hold = openHold()
  assert.equal(hold.isHolding(), false)
  assert.equal(hold.keep(frame(1)), false)
  hold.release(() => assert.fail('nothing was kept'))
})

test('hold: frames come out in order, with the bytes that they had', () => {
  const hold = openHold()
  hold.begin()
  const body = Uint8Array.of(7)
  assert.equal(hold.keep({ kind: 1, body }), true)
  assert.equal(hold.keep(frame(2)), true)
  body.fill(0) // the channel's buffer is read into again
  const seen: Frame[] = []
  hold.release((kept) => seen.push(kept))
  assert.deepEqual(seen, [{ kind: 1, body: Uint8Array.of(7) }, frame(2)])
  assert.equal(hold.keep(frame(3)), false)
})

test('hold: one that begins again while it releases keeps the rest, in order', () => {
  const hold = openHold()
  hold.begin()
  for (const kind of [1, 2, 3, 4]) hold.keep(frame(kind))
  const seen: number[] = []
  const handle = (kept: Frame): void => {
    if (hold.keep(kept)) return
    seen.push(kept.kind)
    if (kept.kind === 2) hold.begin()
  }
  hold.release(handle)
  assert.deepEqual(seen, [1, 2])
  hold.begin() // it holds already
  hold.release(handle)
  assert.deepEqual(seen, [1, 2, 3, 4])
})
