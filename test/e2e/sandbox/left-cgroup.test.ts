/** A run that has left its cgroup ends with its time all the same; and a policy gives none a way to leave it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../../support/action-text.ts'
import { checkout, run, startBridge } from '../../support/bridge.ts'
import type { TestBridge } from '../../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const directory = mkdtempSync('/var/lib/belladonna-test.')
const groups = join(directory, 'groups')
let bridge: TestBridge

/** Its first process, which is ours, and its own; then it says that it is gone, and stays. */
const leave = [
  `for pid in 1 0; do echo $pid >${groups}/cgroup.procs || exit 7; done`,
  'cat /proc/1/cgroup /proc/self/cgroup; sleep 20',
].join('; ')

const policy = `schema = 1
[profile.leaves]
write = ["${directory}"]
limits = { processes = 8, memory = "64M", time = "1s" }
${actionText('leaves', 'leaves', ['/usr/bin/dash', '-c', leave])}
[[grant]]
who = ["group:sudo"]
may = ["leaves"]
`

before(async () => {
  if (skip) return
  mkdirSync(groups)
  bridge = await startBridge({ policy })
  // After the policy was installed: of what is there before it, see below.
  execFileSync('mount', ['-t', 'cgroup2', 'none', groups])
})
after(async () => {
  if (!skip) {
    assert.equal(await bridge.stop(), 0)
    await bridge[Symbol.asyncDispose]()
    execFileSync('umount', [groups])
    rmdirSync(groups)
  }
  rmSync(directory, { recursive: true, force: true })
})

test(
  'C90 L8: a run that moved all its processes out of its cgroup ends with its time',
  { skip, timeout: 60_000 },
  async () => {
    const begunMs = Date.now()
    const outcome = await bridge.outcomeOf(async () => {
      const { status, stdout } = await bridge.bell(['leaves'])
      assert.equal(status, 124, stdout)
      const [first, own] = stdout.split('\n').filter((line) => line.startsWith('0::'))
      assert.match(first ?? '', /^0::(?:\/\.\.)+$/)
      assert.equal(own, first)
    })
    assert.ok(Date.now() - begunMs < 6_000)
    assert.equal(outcome.end.kind, 'timed_out')
  },
)

test(
  'promise 8: C90: no policy is taken that lets runs write into control groups',
  { skip, timeout: 60_000 },
  async () => {
    const file = join(directory, 'policy.toml')
    const rows = [
      [`[profile.x]\nwrite = ["${directory}"]`, '3:10'],
      [`[profile.x]\nwrite = ["${groups}/cgroup.procs"]`, '3:10'],
      ['[profile.x]\nwrite = ["/sys/fs/cgroup"]', '3:10'],
      [
        `[profile.x]\n${actionText('x', 'x', ['/usr/bin/cat', '{p}'])}\n[action.x.params.p]\npath = { root = "${groups}" }`,
        '10:17',
      ],
    ]
    for (const [text, place] of rows) {
      writeFileSync(file, `schema = 1\n${text}\n`)
      const { status, stderr } = await run([
        join(checkout, 'bin/belladonna'),
        'policy',
        'check',
        file,
      ])
      assert.equal(status, 78, text)
      assert.match(
        stderr,
        new RegExp(`policy.toml:${place}: error: .*control groups.*\\[path_invalid\\]`),
      )
    }
  },
)
