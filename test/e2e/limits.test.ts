/** Limits that a run hits are in its outcome, and `bell` says so: by the kernel's count of its cgroup. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge, until } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
let bridge: TestBridge

function action(name: string, words: string, profile = 'small'): string {
  return actionText(name, profile, ['/usr/bin/dash', '-c', words])
}

const hog = 'dd if=/dev/zero of=/dev/null bs=200M count=1'
const forks = 'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 0.3 & done'

before(async () => {
  if (skip !== false) return
  bridge = await startBridge({
    policy: `schema = 1
[profile.small]
limits = { processes = 8, memory = "32M", time = "20s" }
[profile.capped]
limits = { processes = 8, memory = "32M", output = "1K" }
output = "capped"
${action('hog', `exec ${hog}`)}
${action('child', `${hog}; echo $?`)}
${action('told', `${hog}; echo $?`, 'capped')}
${action('forks', forks)}
${action('both', `${hog}; ${forks}`)}
${action('fine', 'true')}
${action('killed', 'kill -9 $$')}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["both", "child", "fine", "forks", "hog", "killed", "told"]
`,
  })
})
after(async () => {
  if (skip === false) await bridge[Symbol.asyncDispose]()
})

const memory = 'the kernel killed a process of the run for want of memory'
const processes = 'the run could not start another process: it had as many as it may have'
const rows: readonly (readonly [
  name: string,
  kind: string,
  value: number,
  hit: readonly string[],
])[] = [
  ['hog', 'signalled', 9, [memory]],
  ['child', 'exited', 0, [memory]],
  ['told', 'exited', 0, [memory]],
  ['forks', 'exited', 2, [processes]],
  ['both', 'exited', 2, [memory, processes]],
  ['killed', 'signalled', 9, []],
  ['fine', 'exited', 0, []],
]
for (const [name, kind, value, hit] of rows) {
  test(
    `promise 8: ${name}: what the kernel counted is in the outcome, and said`,
    { skip },
    async () => {
      let said = ''
      const outcome = await bridge.outcomeOf(async () => {
        said = (await bridge.bell([name])).stderr
      })
      const counts = outcome.features.includes('cgroup_limits')
      const unknown = { memory: 'unknown', processes: 'unknown' }
      const seen = {
        memory: hit.includes(memory) ? 'hit' : 'kept',
        processes: hit.includes(processes) ? 'hit' : 'kept',
      }
      assert.deepEqual(outcome.limits, counts ? seen : unknown)
      // In a machine of ours they are in force (test/machine).
      assert.ok(counts || process.env['BELLADONNA_TEST_CGROUP'] === undefined)
      if (!counts) return
      assert.deepEqual([outcome.end.kind, outcome.end.value], [kind, value])
      const line = said.split('\n').find((text) => text.startsWith('bell: '))
      assert.equal(line, hit.length === 0 ? undefined : `bell: ${hit.join('; ')}`)
    },
  )
}

test(
  'promise 8: what one run hit is not told of the next, wherever that runs',
  { skip },
  async () => {
    for (let turn = 0; turn < 3; turn += 1) {
      const before = bridge.outcomes().length
      const those = ['both', 'hog', 'forks']
      await Promise.all(those.map(async (name) => await bridge.bell([name])))
      await until(() => bridge.outcomes().length === before + those.length, 5_000)
      for (let run = 0; run < 6; run += 1) await bridge.bell(['fine'])
      await until(() => bridge.outcomes().length === before + those.length + 6, 5_000)
      for (const { end, features, limits } of bridge.outcomes().slice(-6)) {
        assert.equal(end.value, 0)
        const state = features.includes('cgroup_limits') ? 'kept' : 'unknown'
        assert.deepEqual(limits, { memory: state, processes: state })
      }
    }
  },
)
