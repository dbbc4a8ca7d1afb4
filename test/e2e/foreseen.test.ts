/** Intents that the broker records before the executor has answered, on a real bridge (ADR 0025). */
import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Entry } from '../../src/core/audit/entry.ts'
import type { VerifyReport } from '../../src/core/audit/verify-report.ts'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const tool = join(directory, 'tool')
let bridge: TestBridge

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  putTool('/usr/bin/echo')
  bridge = await startBridge({
    policy: `schema = 1
[profile.p]
read = ["/usr", "${directory}"]
${actionText('tool', 'p', [tool, 'hello'])}
${actionText('seldom', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["tool"]
[[grant]]
who = ["uid:${caller.uid}"]
may = ["seldom"]
uses = 2
`,
  })
})
after(async () => {
  if (skip === false) await bridge[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

function putTool(from: string): void {
  copyFileSync(from, `${tool}.new`)
  chmodSync(`${tool}.new`, 0o755)
  renameSync(`${tool}.new`, tool)
}

type Of<K extends Entry['kind']> = Extract<Entry, { kind: K }>
function entriesOf<K extends Entry['kind']>(kind: K): readonly Of<K>[] {
  return bridge.entries().filter((entry): entry is Of<K> => entry.kind === kind)
}
/** The outcomes of intents that came to nothing. */
const takenBack = (): readonly Of<'outcome'>[] =>
  entriesOf('outcome').filter(({ end, receipt }) => end.kind === 'gone' && receipt === null)

const isSettled = ({ pending, signed_size }: VerifyReport): boolean =>
  pending === 0 && signed_size > 0

async function verify(): Promise<void> {
  await until(async () => isSettled(await bridge.verify()), 5000)
  const { ok, problems } = await bridge.verify()
  assert.deepEqual([ok, problems], [true, []])
}

test(
  'promise 2: runs of one program are recorded before the executor answers, and once each',
  { skip },
  async () => {
    for (let i = 0; i < 5; i += 1) assert.equal((await bridge.bell(['tool'])).stdout, 'hello\n')
    await verify()
    assert.equal(entriesOf('intent').length, 5)
    assert.equal(bridge.receiptCount(), 5)
    assert.deepEqual(takenBack(), [])
  },
)

test(
  'promise 3: C12: a program that was replaced runs at the first request, with its own digest',
  { skip },
  async () => {
    putTool('/usr/bin/cat')
    const { status, stderr } = await bridge.bell(['tool'])
    assert.deepEqual([status, stderr], [1, `${tool}: hello: No such file or directory\n`])
    putTool('/usr/bin/echo')
    assert.equal((await bridge.bell(['tool'])).stdout, 'hello\n')
    assert.equal((await bridge.bell(['tool'])).stdout, 'hello\n')
    await verify()
    // None where the executor's answer overtook the launcher's frame to the broker.
    const { length } = takenBack()
    assert.ok(length <= 2)
    assert.equal(entriesOf('intent').length, 5 + 3 + length)
    assert.equal(bridge.receiptCount(), 8)
  },
)

test(
  'promise 6: a program that may not run any more is refused, and what was foreseen is closed',
  { skip },
  async () => {
    rmSync(tool)
    const { status, stderr } = await bridge.bell(['tool'])
    assert.equal(status, 126)
    assert.match(stderr, /executable_unsafe/)
    putTool('/usr/bin/echo')
    assert.equal((await bridge.bell(['tool'])).stdout, 'hello\n')
    await verify()
    assert.equal(entriesOf('denial').length, 1)
  },
)

test(
  'promise 2: what the executor alone counts is not foreseen: a refusal leaves a denial and nothing else',
  { skip },
  async () => {
    const before = entriesOf('intent').length
    const statuses = [
      await bridge.bell(['seldom']),
      await bridge.bell(['seldom']),
      await bridge.bell(['seldom']),
    ]
    assert.deepEqual(
      statuses.map(({ status }) => status),
      [0, 0, 125],
    )
    await verify()
    assert.equal(entriesOf('intent').length, before + 2)
  },
)

test(
  'promise 2: many at once, with a program that changes: receipts and intents come in one order',
  { skip },
  async () => {
    const asked: Promise<number | null>[] = []
    for (let i = 0; i < 60; i += 1) {
      if (i % 12 === 0) putTool(i % 24 === 0 ? '/usr/bin/printf' : '/usr/bin/echo')
      asked.push(bridge.bell(['tool']).then(({ status }) => status))
      if (i % 6 === 5) await Promise.all(asked)
    }
    assert.deepEqual([...new Set(await Promise.all(asked))], [0])
    await verify()
    const receipts = new Map(
      bridge.receipts().map(({ actionDigest, number }) => [actionDigest, number]),
    )
    const order = entriesOf('intent').flatMap(
      ({ actionDigest }) => receipts.get(actionDigest) ?? [],
    )
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    )
  },
)
