/**
 * What a run alone sees of the host is the file that was looked at, whatever is put in its place meanwhile. Each row is
 * tried twice: against the launcher as it is, and against one without that one check, which must let it through.
 */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../../support/action-text.ts'
import { clean } from '../../support/bridge.ts'
import type { BellResult } from '../../support/bridge.ts'
import { startBare } from './bare-bridge.ts'
import type { BareBridge, RunOptions } from './bare-bridge.ts'
import { openLauncherBuild } from './programs.ts'
import type { Edit } from './programs.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const script = join(directory, 'script')
const logs = join(directory, 'logs')
const deep = join(logs, 'deep')
const file = join(deep, 'er/a.log')
const build = skip === false ? openLauncherBuild(directory) : () => ''
let bare: BareBridge

const policy = `schema = 1
[profile.plain]
[profile.place]
read = ["/usr", "${directory}"]
${actionText('read', 'plain', ['/usr/bin/cat', '{file}'])}
[action.read.params.file]
path = { root = "${logs}" }
`

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  bringBack()
  bare = await startBare(policy)
})
after(async () => {
  if (skip === false) await bare[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

/** The host as it is before each run. */
function bringBack(): void {
  rmSync(logs, { recursive: true, force: true })
  mkdirSync(join(deep, 'er'), { recursive: true })
  for (const [path, word] of [
    [script, 'first'],
    [`${script}.other`, 'second'],
  ] as const) {
    writeFileSync(path, `#!/bin/sh\necho ${word}\n`)
    chmodSync(path, 0o755)
  }
  writeFileSync(file, 'first\n')
  writeFileSync(`${file}.other`, 'second\n')
}

const paths = [
  {
    parameter: 'p',
    path: clean(file),
    what: 'file',
    access: 'read',
    hard_links: false,
    content: 'live',
  },
] as const

async function runScript(on: BareBridge, options: RunOptions): Promise<BellResult> {
  bringBack()
  return await on.run(on.plan('place'), ['/usr/bin/dash', script], { script, ...options })
}

async function runPath(on: BareBridge, options: RunOptions): Promise<BellResult> {
  bringBack()
  return await on.run(on.plan('plain'), ['/usr/bin/cat', file], { paths, ...options })
}

const rows: readonly Readonly<{
  name: string
  run: typeof runScript
  options: RunOptions
  without: Edit
  succeeds: string
}>[] = [
  {
    name: 'promise 3: C12: another script at its path while the run waited',
    run: runScript,
    options: { late: [['rename', `${script}.other`, script]] },
    without: { file: 'sandbox/first-process.c', from: '  binds_in_place();', to: '' },
    succeeds: 'second\n',
  },
  {
    name: 'promise 3: C32: another file where a parameter names one, before it is opened',
    run: runPath,
    options: { early: [['rename', `${file}.other`, file]] },
    without: { file: 'sandbox/sandbox.c', from: 'memcmp(&now, stamp, counted) != 0', to: 'false' },
    succeeds: 'second\n',
  },
  {
    name: 'promise 1: C32: a second name for it, before it is opened',
    run: runPath,
    options: { early: [['link', file, join(directory, 'name')]] },
    without: { file: 'sandbox/mounts.c', from: 'st->st_nlink != 1', to: 'false' },
    succeeds: 'first\n',
  },
  {
    name: 'promise 1: C32: a link on the way to it, even to the same file',
    run: runPath,
    options: {
      early: [
        ['rename', deep, join(logs, 'moved')],
        ['symlink', 'moved', deep],
      ],
    },
    without: {
      file: 'sandbox/mounts.c',
      from: '.resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS',
      to: '.resolve = RESOLVE_NO_MAGICLINKS',
    },
    succeeds: 'first\n',
  },
]
for (const { name, run, options, without, succeeds } of rows) {
  test(`${name}: nothing starts; without that check it does`, { skip }, async () => {
    rmSync(join(directory, 'name'), { force: true })
    const { status, stdout } = await run(bare, options)
    assert.deepEqual([status === 0, stdout], [false, ''])
    rmSync(join(directory, 'name'), { force: true })
    const launcher = build([without])
    await using weaker = await startBare(policy, (_, bootFile) => [launcher, bootFile])
    assert.equal((await run(weaker, options)).stdout, succeeds)
  })
}

test(
  'promise 3: C32: once it is opened it stays that file, whatever is at its path',
  { skip },
  async () => {
    const { stdout, stderr } = await runPath(bare, {
      late: [
        ['rename', file, `${file}.away`],
        ['rename', `${file}.other`, file],
        ['rename', deep, join(logs, 'gone')],
      ],
    })
    assert.deepEqual([stdout, stderr], ['first\n', ''])
    assert.equal((await runScript(bare, { late: [] })).stdout, 'first\n')
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
