import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openIntents } from './intents.ts'
import { maxRuns } from './runs.ts'
import type { Run } from './runs.ts'

type Stages = ReadonlyMap<number, Pick<Run, 'run' | 'stage'>>
function runsAt(...stages: readonly (readonly [number, Run['stage']])[]): Stages {
  return new Map(stages.map(([run, stage]) => [run, { run, stage }]))
}
const numbers = (runs: readonly Pick<Run, 'run'>[]): readonly number[] => runs.map(({ run }) => run)
const outOfTurn = { code: 'frame_invalid' }

test('intents: receipts are due in the order of INTEND, and wait for a run that is not known yet', () => {
  const intents = openIntents()
  intents.addEarly(3, 'd')
  intents.add(2)
  assert.deepEqual(numbers(intents.due(runsAt([2, 'intended']))), [])
  assert.deepEqual(intents.takeEarly(3), { actionDigest: 'd', entry: null })
  assert.deepEqual(numbers(intents.due(runsAt([2, 'intended'], [3, 'intended']))), [3, 2])
  assert.deepEqual(numbers(intents.due(runsAt([2, 'receipted'], [3, 'open']))), [])
})

test('intents: what was taken back or is over is passed over, and nothing is due twice', () => {
  const intents = openIntents()
  for (const run of [1, 2, 3, 2]) intents.add(run)
  const runs = runsAt([2, 'intended'], [3, 'resolved'])
  assert.deepEqual(numbers(intents.due(runs)), [2])
  assert.deepEqual(numbers(intents.due(runs)), [])
})

test('intents: RECORDED may come early once, after INTEND', () => {
  const intents = openIntents()
  assert.throws(() => intents.recordEarly(5, 1), outOfTurn)
  intents.addEarly(5, 'd')
  intents.recordEarly(5, 7)
  assert.throws(() => intents.recordEarly(5, 8), outOfTurn)
  assert.deepEqual(intents.takeEarly(5), { actionDigest: 'd', entry: 7 })
  assert.equal(intents.takeEarly(5), null)
})

test('promise 7: intents: no more come early than the launcher has places, each once', () => {
  const intents = openIntents()
  for (let run = 1; run <= maxRuns; run += 1) intents.addEarly(run, 'd')
  assert.throws(() => intents.addEarly(maxRuns + 1, 'd'), outOfTurn)
  intents.takeEarly(1)
  assert.throws(() => intents.addEarly(2, 'd'), outOfTurn)
  intents.addEarly(maxRuns + 1, 'd')
})
