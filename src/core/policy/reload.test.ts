import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decideReload } from './reload.ts'
import type { ReloadOutcome } from './reload.ts'

const old = { kind: 'policy', digest: 'old' } as const
const next = { kind: 'policy', digest: 'new' } as const
const broken = { kind: 'unusable', why: 'it is broken' } as const
const odd = { kind: 'unusable', why: 'the broker cannot read it' } as const
type Side = typeof old | typeof next | typeof broken | typeof odd
const refused = (reason: string): ReloadOutcome => ({ kind: 'refused', reason })
const differs = refused('broker and executor read different policies: it was being replaced')

const rows: readonly (readonly [
  name: string,
  broker: Side,
  executor: Side,
  isShort: boolean,
  want: ReloadOutcome,
])[] = [
  ['both read another one', next, next, false, { kind: 'adopted' }],
  ['both read the one in force', old, old, false, { kind: 'unchanged' }],
  ['the one in force needs no record', old, old, true, { kind: 'unchanged' }],
  ['what cannot be recorded is refused', next, next, true, refused('the disk of the log is full')],
  ['the broker read the old one', old, next, false, differs],
  ['the executor read the old one', next, old, false, differs],
  ['neither can use it', odd, broken, false, refused('it is broken')],
  ['the executor cannot use it', next, broken, false, refused('it is broken')],
  ['the broker cannot use it', odd, next, false, refused('the broker cannot read it')],
]

for (const [name, broker, executor, isShort, want] of rows) {
  test(`promise 6: decideReload: ${name}`, () => {
    assert.deepEqual(decideReload('old', broker, executor, isShort), want)
  })
}
