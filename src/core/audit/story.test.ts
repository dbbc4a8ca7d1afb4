import assert from 'node:assert/strict'
import { test } from 'node:test'
import { makeSmallLog, makeTestLog, testAction } from '../../../test/log-fixture.ts'
import { BelladonnaError } from '../error.ts'
import { sha256Hex } from '../json/digest.ts'
import { signedSize } from './signed-size.ts'
import { actionDigestOf, findStories } from './story.ts'
import type { Story, StorySelector } from './story.ts'

// 0 start, 1 intent of run 1, 2 its outcome, 3 denial, 4 intent of run 3, still open.
const log = makeSmallLog()
const find = (selector: StorySelector): readonly string[] =>
  findStories(() => log.entries, selector).map(brief)
const brief = ({ first, end }: Story): string =>
  `${first.entry.kind} ${first.index}${end === null ? '' : `, ${end.entry.kind} ${end.index}`}`
const digest = sha256Hex(testAction(1))

const cases: readonly { name: string; selector: StorySelector; want: readonly string[] }[] = [
  {
    name: 'a run by its intent',
    selector: { kind: 'index', index: 1 },
    want: ['intent 1, outcome 2'],
  },
  {
    name: 'a run by its end',
    selector: { kind: 'index', index: 2 },
    want: ['intent 1, outcome 2'],
  },
  { name: 'a denial', selector: { kind: 'index', index: 3 }, want: ['denial 3'] },
  { name: 'a start', selector: { kind: 'index', index: 0 }, want: ['start 0'] },
  { name: 'an index beyond the end', selector: { kind: 'index', index: 9 }, want: [] },
  {
    name: 'a run by its digest',
    selector: { kind: 'digest', prefix: digest.slice(0, 12) },
    want: ['intent 1, outcome 2'],
  },
  { name: 'no such digest', selector: { kind: 'digest', prefix: 'ffffffffffff' }, want: [] },
  { name: 'the last one', selector: { kind: 'last', count: 1 }, want: ['intent 4'] },
  {
    name: 'the last ones, without starts and stops',
    selector: { kind: 'last', count: 9 },
    want: ['intent 1, outcome 2', 'denial 3', 'intent 4'],
  },
]

for (const { name, selector, want } of cases) {
  test(`story: ${name}`, () => {
    assert.deepEqual(find(selector), want)
  })
}

test('story: a run that a later start closed, and one that it found without an intent', () => {
  const log = makeTestLog()
  log.start()
  log.intent(1)
  const receipt = log.receipt(1)
  const other = log.receipt(2)
  log.recovered(1, { intent: 1, receipt })
  log.recovered(2, { receipt: other })
  log.stop()
  const stories = findStories(() => log.entries, { kind: 'last', count: 5 })
  assert.deepEqual(stories.map(brief), ['intent 1, recovered 2', 'recovered 3'])
  assert.deepEqual(stories.map(actionDigestOf), [
    sha256Hex(testAction(1)),
    sha256Hex(testAction(2)),
  ])
  const [stop] = findStories(() => log.entries, { kind: 'index', index: 4 })
  assert.ok(stop !== undefined)
  assert.equal(actionDigestOf(stop), null)
})

test('story: an entry that cannot be read is named by its index', () => {
  const entries = [...log.entries.slice(0, 2), Uint8Array.of(1), ...log.entries.slice(3)]
  assert.throws(
    () => findStories(() => entries, { kind: 'last', count: 1 }),
    (error) =>
      error instanceof BelladonnaError &&
      error.code === 'log_corrupt' &&
      /entry 2/.test(error.message),
  )
})

test('signedSize: all that was signed, or nothing when it is not that', () => {
  const note = log.checkpoint(3)
  assert.equal(signedSize(log.entries, note, log.key), 3)
  assert.equal(signedSize(log.entries.slice(0, 3), note, log.key), 3)
  assert.equal(signedSize(log.entries.slice(0, 2), note, log.key), 0)
  assert.equal(signedSize(log.entries.slice(1), note, log.key), 0)
})
