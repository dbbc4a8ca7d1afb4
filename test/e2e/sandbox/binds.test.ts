/** What a run alone sees of the host: the file that was looked at, whatever is put in its place while it waits. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { clean } from '../../support/bridge.ts'
import { startBare } from './bare-bridge.ts'
import type { BareBridge } from './bare-bridge.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const script = join(directory, 'script')
const other = `${script}.other`
const logs = join(directory, 'logs')
const file = join(logs, 'deep/er/a.log')
let bare: BareBridge

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  mkdirSync(join(logs, 'deep/er'), { recursive: true })
  bare = await startBare(
    `schema = 1
[profile.plain]
read = ["/usr"]
[profile.place]
read = ["/usr", "${directory}"]
[action.read]
about = "x"
command = ["/usr/bin/cat", "{file}"]
run_as = "root"
profile = "plain"
[action.read.params.file]
path = { root = "${logs}" }
`,
  )
})
after(async () => {
  if (skip === false) await bare[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})
beforeEach(() => {
  for (const [path, text] of [
    [script, '#!/bin/sh\necho first\n'],
    [other, '#!/bin/sh\necho second\n'],
    [file, 'first\n'],
    [`${file}.other`, 'second\n'],
  ] as const) {
    writeFileSync(path, text)
    chmodSync(path, 0o755)
  }
})

const shell = ['/usr/bin/dash', script]
const granted = { path: clean(file), what: 'file', access: 'read', hard_links: false } as const

test('promise 3: C12: a script that nobody replaced is read', { skip }, async () => {
  const { stdout } = await bare.run(bare.plan('place'), shell, { script, renames: [] })
  assert.equal(stdout, 'first\n')
})

test(
  'promise 3: C12: another script at its path while the run waited: nothing starts',
  { skip },
  async () => {
    const renames = [[other, script]] as const
    const { status, stdout } = await bare.run(bare.plan('place'), shell, { script, renames })
    assert.deepEqual([status, stdout], [126, ''])
  },
)

test(
  'promise 3: C32: what a parameter names stays the file that was opened, whatever is at its path',
  { skip },
  async () => {
    const renames = [
      [file, `${file}.away`],
      [`${file}.other`, file],
      [join(logs, 'deep'), join(logs, 'gone')],
    ] as const
    const options = { paths: [granted], renames }
    const { stdout, stderr } = await bare.run(bare.plan('plain'), ['/usr/bin/cat', file], options)
    assert.deepEqual([stdout, stderr], ['first\n', ''])
    rmSync(join(logs, 'gone'), { recursive: true })
    mkdirSync(join(logs, 'deep/er'), { recursive: true })
  },
)

test(
  'promise 1: without the path of a parameter its root is empty, and nobody can fill it',
  { skip },
  async () => {
    const words = ['/usr/bin/dash', '-c', `find ${logs}; echo x > ${logs}/x; mkdir ${logs}/y; true`]
    const { stdout, stderr } = await bare.run(bare.plan('plain'), words)
    assert.equal(stdout, `${logs}\n`)
    assert.equal(stderr.match(/Permission denied|Read-only/g)?.length, 2, stderr)
  },
)
