import assert from 'node:assert/strict'
import { test } from 'node:test'
import { showProgress } from './progress.ts'

/** What was written, when `show` is called at these times, with how much is done of 200. */
function drawn(isTTY: boolean, calls: readonly (readonly [number, number])[]): readonly string[] {
  const written: string[] = []
  let timeMs = 0
  {
    const screen = { isTTY, write: (text: string) => written.push(text) }
    using progress = showProgress('verifying', screen, () => timeMs)
    for (const [atMs, done] of calls) {
      timeMs = atMs
      progress.show(done, 200)
    }
  }
  return written
}

const clear = '\r\u001b[K'

test('progress: nothing in the first second', () => {
  assert.deepEqual(
    drawn(true, [
      [0, 1],
      [500, 50],
      [999, 199],
    ]),
    [],
  )
})

test('progress: nothing but on a terminal', () => {
  assert.deepEqual(drawn(false, [[2000, 100]]), [])
})

test('progress: then a bar, ten times a second at most, and an empty line for the result', () => {
  const half = `${clear}verifying [###############               ]  50 %`
  const most = `${clear}verifying [########################      ]  80 %`
  const calls = [
    [1000, 100],
    [1050, 120],
    [1100, 160],
    [1200, 200],
  ] as const
  assert.deepEqual(drawn(true, calls), [half, most, clear])
})

test('progress: an empty line too when the work ends early', () => {
  assert.deepEqual(drawn(true, [[1000, 0]]), [
    `${clear}verifying [                              ]   0 %`,
    clear,
  ])
})
