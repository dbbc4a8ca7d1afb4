/** A host that has no process to spare: runs fail with the kernel's reason, nobody dies of it, and afterwards all goes on. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { startBridge, testCgroups, until } from '../support/bridge.ts'

const { pids } = testCgroups()
const policy = `schema = 1
[profile.p]
${actionText('x', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["group:sudo"]
may = ["x"]
uses = 1000
`
const trees = ['pids', 'memory', 'unified'].map((name) => join('/sys/fs/cgroup', name))
const hasBoth =
  pids !== '' && !pids.startsWith(testCgroups().unified) && trees.every((tree) => existsSync(tree))
const skip = process.geteuid?.() !== 0 || (!hasBoth && 'no cgroup v1 beside v2')

test(
  'promise 6: C87: what cannot be forked is an answer, and the run has its outcome',
  { skip, timeout: 120_000 },
  async (t) => {
    const name = `bt.${basename(mkdtempSync('/tmp/belladonna.'))}`
    const groups = trees.map((tree) => join(tree, name))
    for (const group of groups) mkdirSync(group)
    t.after(() => {
      for (const group of groups) rmdirSync(group)
      rmdirSync(`/tmp/${name.slice('bt.'.length)}`)
    })
    const [processes = ''] = groups
    await using bridge = await startBridge({
      policy,
      configuration: `[cgroup]\nparent = "/${name}"`,
    })
    const before = bridge.pids()
    assert.equal((await bridge.bell(['x'])).status, 0)
    const limit = (text: string): void => writeFileSync(join(processes, 'pids.max'), text)
    limit('1') // there are more
    for (let at = 0; at < 8; at += 1) {
      const { status, stderr } = await bridge.bell(['x'])
      assert.equal(status, 125, stderr)
      assert.match(stderr, /Resource temporarily unavailable/)
    }
    await until(() => bridge.outcomes().length === 9, 5_000)
    for (const { end } of bridge.outcomes().slice(1)) {
      assert.deepEqual([end.kind, end.value], ['failed', 11])
    }
    limit('max')
    assert.equal((await bridge.bell(['x'])).status, 0)
    assert.deepEqual(bridge.pids(), before)
    await until(async () => (await bridge.verify()).unsigned_tail === 0, 5_000)
    assert.deepEqual((await bridge.verify()).problems, [])
  },
)

/** No v1 that the launcher could use, so each run has a cgroup that is made for it, as where v2 is alone. */
test(
  'promise 6: C87: a cgroup that cannot be made is an answer with the kernel’s own reason',
  { skip: skip || !trees.every((tree) => existsSync(tree)), timeout: 120_000 },
  async (t) => {
    const name = `bt.${basename(mkdtempSync('/tmp/belladonna.'))}`
    const groups = trees.map((tree) => join(tree, name))
    const [pids = '', memory = '', unified = ''] = groups
    for (const group of groups) mkdirSync(group)
    t.after(() => {
      for (const path of [unified, `/tmp/${name.slice('bt.'.length)}`]) rmdirSync(path)
    })
    await using bridge = await startBridge({
      policy,
      configuration: `[cgroup]\nparent = "/${name}"`,
      start: (program, bootFile) => {
        for (const group of [pids, memory]) rmdirSync(group)
        return [program, bootFile]
      },
    })
    assert.equal((await bridge.bell(['x'])).status, 0)
    const limit = (text: string): void =>
      writeFileSync(join(unified, 'cgroup.max.descendants'), text)
    limit('1') // there are more
    const spares = 4
    for (let at = 0; at < spares; at += 1) assert.equal((await bridge.bell(['x'])).status, 0)
    const { status, stderr } = await bridge.bell(['x'])
    assert.equal(status, 125, stderr)
    assert.match(stderr, /Resource temporarily unavailable/)
    limit('max')
    assert.equal((await bridge.bell(['x'])).status, 0)
  },
)
