/** What a run's `path` parameters name is in the resolved action, and what is bound there is what the run reads. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { bridgePaths } from '../../src/host/layout.ts'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge, until } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'
import { whileLeased } from '../support/while-running.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
/** Everybody may write in here. */
const inbox = join(directory, 'inbox')
const signs = join(directory, 'signs')
const most = 1_048_576
let bridge: TestBridge

function action(name: string, words: string, more: string, user = 'root'): string {
  return `${actionText(name, 'plain', ['/usr/bin/dash', '-c', words, 'x', '{file}'], user)}
[action.${name}.params.file]
path = { root = "${inbox}"${more} }
repeat = { max = 3 }
`
}

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  for (const place of [inbox, signs]) {
    mkdirSync(place)
    chmodSync(place, 0o777)
  }
  const bound = ', content = "bound"'
  // Says that it runs, and reads only once it is told to.
  const wait = `touch ${signs}/runs; while [ ! -e ${signs}/go ]; do sleep 0.02; done; cat "$@"`
  bridge = await startBridge({
    policy: `schema = 1
[profile.plain]
write = ["${signs}"]
${action('live', 'cat "$@"', '')}
${action('look', 'ls "$@"', ', kind = "directory"')}
${action('make', 'for f; do echo x > "$f"; done', ', kind = "new"')}
${action('bound', 'cat "$@"', bound)}
${action('append', 'echo more >> "$1"', bound)}
${action('wait', wait, bound)}
${action('daemon', 'cat "$@"', bound, 'daemon')}
[[grant]]
who = ["uid:${caller.uid}"]
may = ["append", "bound", "daemon", "live", "look", "make", "wait"]
`,
  })
})
after(async () => {
  if (skip === false) await bridge[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

function put(name: string, text: string, mode = 0o644): string {
  const path = join(inbox, name)
  rmSync(path, { recursive: true, force: true })
  writeFileSync(path, text)
  chmodSync(path, mode)
  chownSync(path, caller.uid, caller.gid)
  return path
}

const bell = async (...args: readonly string[]): Promise<BellResult> => await bridge.bell(args)
const hashOf = (text: string): string => createHash('sha256').update(text).digest('hex')

/** `inputs` of the newest resolved action in the log. */
function inputs(): unknown {
  const intents = bridge.entries().filter((entry) => entry.kind === 'intent')
  const action: unknown = JSON.parse(intents.at(-1)?.action ?? '')
  return typeof action === 'object' && action !== null && 'inputs' in action ? action.inputs : null
}

function seen(path: string, kind: string, text: string | null = null): object {
  const { dev, ino } = statSync(path, { bigint: true })
  const content =
    text === null ? { sha256: null, size: null } : { sha256: hashOf(text), size: text.length }
  return { device: String(dev), inode: String(ino), kind, ...content }
}

const copies = (): readonly string[] => readdirSync(bridgePaths(bridge.root).copies)

test(
  'promise 3: the resolved action says which file, directory or place it was',
  { skip },
  async () => {
    const [a, b] = [put('a', 'a\n'), put('b', 'b\n')]
    mkdirSync(join(inbox, 'sub'), { recursive: true })
    assert.equal((await bell('live', 'file=a', 'file=b')).stdout, 'a\nb\n')
    assert.deepEqual(inputs(), { [a]: seen(a, 'file'), [b]: seen(b, 'file') })
    assert.equal((await bell('look', 'file=sub')).status, 0)
    assert.deepEqual(inputs(), { [join(inbox, 'sub')]: seen(join(inbox, 'sub'), 'directory') })
    assert.equal((await bell('make', 'file=x', 'file=y')).status, 0)
    assert.deepEqual(inputs(), { [inbox]: seen(inbox, 'new') })
  },
)

test('promise 3: what is bound is hashed, and is what the run reads', { skip }, async () => {
  const [a, b] = [put('a', 'first\n'), put('b', '')]
  const { status, stdout, stderr } = await bell('bound', 'file=a', 'file=b', 'file=a')
  assert.deepEqual([status, stdout, stderr], [0, 'first\nfirst\n', ''])
  assert.deepEqual(inputs(), { [a]: seen(a, 'file', 'first\n'), [b]: seen(b, 'file', '') })
})

const changes: readonly (readonly [name: string, change: (path: string) => void])[] = [
  ['is written over', (path) => writeFileSync(path, 'other\n')],
  ['is replaced by another', (path) => renameSync(put('b', 'other\n'), path)],
  ['is removed', (path) => rmSync(path)],
]
for (const [name, change] of changes) {
  test(`promise 3: C12: a bound file that ${name} while its run waits`, { skip }, async () => {
    for (const sign of ['runs', 'go']) rmSync(join(signs, sign), { force: true })
    const path = put('a', 'first\n')
    const run = bell('wait', 'file=a')
    await until(() => existsSync(join(signs, 'runs')), 10_000)
    change(path)
    writeFileSync(join(signs, 'go'), '')
    assert.deepEqual(await run, { status: 0, stdout: 'first\n', stderr: '' })
  })
}

test('promise 1: a bound file is not written, nor is its copy', { skip }, async () => {
  const path = put('a', 'first\n', 0o666)
  const { status, stderr } = await bell('append', 'file=a')
  assert.notEqual(status, 0)
  assert.match(stderr, /Read-only|Permission denied/)
  assert.equal(readFileSync(path, 'utf8'), 'first\n')
})

test('promise 7: no more than a mebibyte is bound in one request', { skip }, async () => {
  put('a', 'x'.repeat(most - 1))
  put('b', 'y')
  assert.equal((await bell('bound', 'file=a', 'file=b')).stdout.length, most)
  put('b', 'yy')
  const { status, stdout, stderr } = await bell('bound', 'file=a', 'file=b')
  assert.deepEqual([status, stdout], [125, ''])
  assert.match(stderr, /path_refused/)
})

test('promise 1: whom the action runs as must be allowed to read the file', { skip }, async () => {
  const rows: readonly (readonly [mode: number, uid: number, gid: number, reads: boolean])[] = [
    [0o604, 0, 0, true],
    [0o640, 0, 1, true],
    [0o604, 0, 1, false],
    [0o400, 1, 0, true],
    [0o244, 1, 1, false],
    [0o660, 0, 0, false],
  ]
  for (const [mode, uid, gid, reads] of rows) {
    chownSync(put('a', 'a\n', mode), uid, gid)
    const { status, stdout, stderr } = await bell('daemon', 'file=a')
    assert.deepEqual([status, stdout], reads ? [0, 'a\n'] : [125, ''], `${mode.toString(8)} ${uid}`)
    if (!reads) assert.match(stderr, /path_refused/)
  }
})

test('promise 7: who holds a lease on a file holds nobody up', { skip }, async () => {
  const path = put('a', 'a\n', 0o644)
  put('b', 'b\n')
  await whileLeased(path, caller.uid, async () => {
    const startedMs = Date.now()
    const [held, free] = await Promise.all([bell('bound', 'file=a'), bell('bound', 'file=b')])
    assert.equal(held.status, 125)
    assert.match(held.stderr, /path_refused/)
    assert.equal(free.stdout, 'b\n')
    assert.ok(Date.now() - startedMs < 10_000)
  })
})

test(
  'the refused file is named in the entry, and to the client where it could see it itself',
  { skip },
  async () => {
    const hidden = join(inbox, 'hidden')
    mkdirSync(hidden)
    chmodSync(hidden, 0o700)
    symlinkSync('none', join(inbox, 'link'))
    const rows: readonly (readonly [value: string, why: string, isTold: boolean])[] = [
      ['gone/file', `"${join(inbox, 'gone')}" is not there`, true],
      ['link/file', `"${join(inbox, 'link')}" is a link, or no directory`, true],
      ['hidden/none', `"${join(hidden, 'none')}" is not there`, false],
    ]
    const enough = `a file, as a path below ${inbox} without ".." or a leading "-"`
    for (const [value, detail, isTold] of rows) {
      const { status, stderr } = await bell('--json', 'live', `file=${value}`)
      const { code, parameter, detail: heard, ...rest } = JSON.parse(stderr)
      assert.deepEqual(
        [status, code, parameter, rest.enough],
        [125, 'path_refused', 'file', enough],
      )
      assert.equal(heard, isTold ? detail : undefined)
      assert.ok(isTold || !stderr.includes('none'))
      const denial = bridge.entries().at(-1)
      assert.ok(denial?.kind === 'denial')
      assert.deepEqual([denial.parameter, denial.detail], ['file', detail])
    }
    // Quoted twice it is longer than the launcher passes on.
    const deep = `${'"'.repeat(200)}/`.repeat(5)
    mkdirSync(join(inbox, deep), { recursive: true })
    const long = await bell('--json', 'live', `file=${deep}x`)
    assert.deepEqual([long.status, JSON.parse(long.stderr).detail], [125, undefined])
    rmSync(join(inbox, '"'.repeat(200)), { recursive: true })
    const { stderr } = await bell('live', 'file=gone/file')
    assert.match(stderr, /path_refused, parameter file: ".*gone" is not there; enough: a file/)
    rmSync(hidden, { recursive: true })
    rmSync(join(inbox, 'link'))
  },
)

test('nothing is left of copies once their runs have ended', { skip }, async () => {
  await until(() => copies().length === 0, 5_000)
  assert.deepEqual((await bridge.verify()).problems, [])
})
