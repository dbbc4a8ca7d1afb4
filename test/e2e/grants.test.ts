/** What bounds a grant, with a real bridge: how often it may be used, for good and in a time (DESIGN.md section 6). */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge } from '../support/bridge.ts'
import type { TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const actions = ['twice', 'burst', 'marked']

const policy = `schema = 1
[profile.plain]
${actions
  .map((name) =>
    actionText(name, 'plain', [
      '/usr/bin/printf',
      '%s.',
      'a',
      ...(name === 'marked' ? ['{loud}', '{words}'] : []),
    ]),
  )
  .join('\n')}
[action.marked.params.loud]
flag = "LOUD"
[action.marked.params.words]
one_of = ["x", "y"]
repeat = { min = 1, max = 2 }
[[grant]]
who = ["uid:${caller.uid}"]
may = ["twice"]
uses = 2
[[grant]]
who = ["uid:${caller.uid}"]
may = ["burst"]
limit = { rate = "1/h", burst = 2 }
[[grant]]
who = ["uid:${caller.uid}"]
may = ["marked"]
`

async function codeOf(bridge: TestBridge, args: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await bridge.bell(['--json', ...args])
  return status === 0 ? 'ran' : (/"code":"([a-z_]+)"/.exec(stdout + stderr)?.[1] ?? stderr)
}

test('grants: uses are used up for good, a rate lets its burst through', { skip }, async () => {
  await using bridge = await startBridge({ policy })
  const ask = async (action: string): Promise<string> => codeOf(bridge, [action])
  assert.deepEqual(
    [await ask('twice'), await ask('twice'), await ask('twice')],
    [...['ran', 'ran', 'grant_used_up']],
  )
  assert.deepEqual(
    [await ask('burst'), await ask('burst'), await ask('burst')],
    [...['ran', 'ran', 'rate_limited']],
  )
  await bridge.stop()
  await bridge.startAgain()
  await bridge.ready()
  assert.equal(await ask('twice'), 'grant_used_up')
  assert.deepEqual((await bridge.verify()).problems, [])
})

test('grants: uses that were taken away with their file are not given back', { skip }, async () => {
  await using bridge = await startBridge({ policy })
  const file = join(bridge.root, 'var/lib/belladonna/state/used-grants.json')
  assert.equal(readFileSync(file, 'utf8'), '{}')
  assert.equal(await codeOf(bridge, ['twice']), 'ran')
  await bridge.stop()
  renameSync(file, `${file}.away`)
  await assert.rejects(bridge.startAgain(), {
    code: 'state_invalid',
    message: `read the uses of grants: there are receipts and no ${file}: put it back from a backup`,
  })
  renameSync(`${file}.away`, file)
  await bridge.startAgain()
  await bridge.ready()
  assert.equal(await codeOf(bridge, ['twice']), 'ran')
  assert.equal(await codeOf(bridge, ['twice']), 'grant_used_up')
})

/** What stands in the place of the file, however it came there. */
const strange: readonly (readonly [what: string, make: (file: string) => void])[] = [
  ['a fifo', (file) => execFileSync('mkfifo', ['-m', '644', file])],
  ['a link to zeros', (file) => symlinkSync('/dev/zero', file)],
  ['a hole of a terabyte', (file) => write(file, '{}', (path) => truncateSync(path, 2 ** 40))],
  ['what is no JSON', (file) => write(file, '{"x":')],
  ['a grant twice', (file) => write(file, '{"x":2,"x":0}')],
  ['fewer uses than none', (file) => write(file, '{"x":-1}')],
  ['another’s', (file) => write(file, '{}', (path) => chownSync(path, caller.uid, caller.gid))],
  ['a directory', (file) => mkdirSync(file)],
]

function write(file: string, text: string, then?: (file: string) => void): void {
  writeFileSync(file, text)
  then?.(file)
}

test(
  'promise 6: C61: C67: whatever stands in the place of the uses of grants, there are not more of them',
  { skip, timeout: 60_000 },
  async () => {
    await using bridge = await startBridge({ policy })
    const file = join(bridge.root, 'var/lib/belladonna/state/used-grants.json')
    const ask = async (): Promise<string> => codeOf(bridge, ['twice'])
    assert.equal(await ask(), 'ran')
    const kept = readFileSync(file)
    const put = (make: (file: string) => void): void => {
      rmSync(file, { recursive: true, force: true })
      make(file)
    }
    // A running executor has the numbers: it puts its own file there again, or permits nothing.
    put((path) => execFileSync('mkfifo', ['-m', '644', path]))
    assert.deepEqual([await ask(), await ask()], ['ran', 'grant_used_up'])
    assert.notDeepEqual(readFileSync(file), kept)
    await bridge.stop()
    for (const [what, make] of strange) {
      put(make)
      await assert.rejects(bridge.startAgain(), { name: 'BelladonnaError' }, what)
    }
    put(() => writeFileSync(file, kept, { mode: 0o644 }))
    await bridge.startAgain()
    await bridge.ready()
    put((path) => mkdirSync(path))
    assert.equal(await ask(), 'unavailable')
    put(() => writeFileSync(file, kept, { mode: 0o644 }))
    await bridge.ready()
    assert.deepEqual([await ask(), await ask()], ['ran', 'grant_used_up'])
  },
)

test('grants: eight at once do not share what is left', { skip }, async () => {
  await using bridge = await startBridge({ policy })
  const codes = await Promise.all(Array.from({ length: 8 }, async () => codeOf(bridge, ['twice'])))
  assert.equal(codes.filter((code) => code === 'ran').length, 2, codes.join(' '))
})

test(
  'parameters: a flag puts its argument there or none, a repeat one for each value',
  { skip },
  async () => {
    await using bridge = await startBridge({ policy })
    const said = async (...values: readonly string[]): Promise<string> =>
      (await bridge.bell(['marked', ...values])).stdout
    assert.equal(await said('loud=true', 'words=x', 'words=y'), 'a.LOUD.x.y.')
    assert.equal(await said('words=y'), 'a.y.')
    assert.equal(await codeOf(bridge, ['marked']), 'parameter_missing')
    assert.equal(
      await codeOf(bridge, ['marked', 'words=x', 'words=x', 'words=x']),
      'parameter_duplicate',
    )
  },
)
