/**
 * C30: a command that crashes is not handed to the program in the host's core_pattern. The kernel starts that among the files that the
 * host's first process sees: where we see others, through us.
 */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { actionText } from '../../support/action-text.ts'
import { until } from '../../support/bridge.ts'
import { startBare } from './bare-bridge.ts'

const skip = process.geteuid?.() !== 0
const pattern = '/proc/sys/kernel/core_pattern'
/** Nobody's: the handler looks at the crashes of this uid alone, whatever else crashes meanwhile. */
const id = 61_298
const policy = `schema = 1
[profile.p]
${actionText('crash', 'p', ['/usr/bin/dash'])}
[[grant]]
who = ["group:sudo"]
may = ["crash"]
`

function writeHandler(directory: string, seen: string): void {
  const handler = join(directory, 'handler')
  const words = ['#!/bin/sh', 'cat >/dev/null', `[ "$1" != ${id} ] || echo "$2" >>'${seen}'`]
  writeFileSync(handler, `${words.join('\n')}\n`)
  chmodSync(handler, 0o755)
}

test(
  'C30: rlimits: no program of the host gets a core: with 0 as the limit it does, with 1 it does not',
  { skip, timeout: 60_000 },
  async (t) => {
    const directory = mkdtempSync('/var/lib/belladonna-test.')
    const fromOutside = `/proc/${process.pid}/root${directory}`
    const seen = join(directory, 'seen')
    const before = readFileSync(pattern, 'utf8')
    t.after(() => {
      writeFileSync(pattern, before)
      rmSync(directory, { recursive: true })
    })
    try {
      writeHandler(directory, join(fromOutside, 'seen'))
      writeFileSync(pattern, `|${fromOutside}/handler %u %s`)
    } catch {
      t.skip(`no right to set ${pattern}`)
      return
    }
    await using bare = await startBare(policy)
    const plan = bare.plan('p')
    const crash = ['/usr/bin/dash', '-c', 'kill -SEGV $$']
    for (let turn = 0; turn < 3; turn += 1)
      assert.equal((await bare.run(plan, crash, { id })).status, 128 + 11)
    await sleep(500)
    assert.equal(existsSync(seen), false, 'a handler got a core')
    const zero = plan.rlimits.map((limit) =>
      limit.resource === 4 ? { ...limit, soft: 0n, hard: 0n } : limit,
    )
    assert.equal((await bare.run({ ...plan, rlimits: zero }, crash, { id })).status, 128 + 11)
    await until(() => existsSync(seen) && readFileSync(seen, 'utf8') === '11\n', 5_000)
  },
)
