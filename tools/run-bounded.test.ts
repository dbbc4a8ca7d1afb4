import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runBounded } from './run-bounded.ts'

const bounds = { cwd: '/', limitMs: 10_000, output: 'on failure' } as const

test('run bounded: the exit status decides', async () => {
  assert.equal(await runBounded(['true'], bounds), true)
  assert.equal(await runBounded(['false'], bounds), false)
})

test('run bounded: a program that is not there is a failure', async () => {
  assert.equal(await runBounded(['/nonexistent'], bounds), false)
})

test('run bounded: at the end of its time a command and what it started are killed', async () => {
  const startMs = performance.now()
  // The inner sleep holds the pipe: if it lived on, the command would not count as ended.
  assert.equal(
    await runBounded(['sh', '-c', 'sleep 60 & sleep 60'], { ...bounds, limitMs: 200 }),
    false,
  )
  assert.ok(performance.now() - startMs < 5000)
})
