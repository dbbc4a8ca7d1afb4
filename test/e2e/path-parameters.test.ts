/** `path` parameters on a real bridge: the run sees what was named, and nothing else below the root. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { actionText } from '../support/action-text.ts'
import { caller, startBridge } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'
import { buildSwapper } from '../support/swapping.ts'
import { whileRunning } from '../support/while-running.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
/** Everybody may write in here: the worst place that a policy could name. */
const logs = join(directory, 'logs')
const made = join(directory, 'made')
const secret = join(directory, 'secret')
let bridge: TestBridge

type Kind = Readonly<{ root?: string; more?: string; user?: string }>
function action(
  name: string,
  words: string,
  { root = logs, more = '', user = 'root' }: Kind = {},
): string {
  return `${actionText(name, 'plain', ['/usr/bin/dash', '-c', words, 'x', '{file}'], user)}
[action.${name}.params.file]
path = { root = "${root}"${more} }
`
}

before(async () => {
  if (skip !== false) return
  chmodSync(directory, 0o755)
  for (const place of [logs, made]) {
    mkdirSync(place)
    chmodSync(place, 0o777)
  }
  mkdirSync(secret)
  writeFileSync(join(secret, 'a.log'), 'secret\n', { mode: 0o644 })
  mkdirSync(join(logs, 'sub/deeper'), { recursive: true })
  put('a.log', 'a\n')
  put('sub/deeper/b.log', 'b\n')
  for (const path of ['sub', 'sub/deeper']) chownSync(join(logs, path), caller.uid, caller.gid)
  buildSwapper(directory)
  const actions = ['show', 'around', 'change', 'append', 'linked', 'make', 'look', 'fill', 'copy']
  bridge = await startBridge({
    policy: `schema = 1
[profile.plain]
${action('show', 'cat "$1"')}
${action('around', `find ${logs} ${directory} | sort`)}
${action('change', 'echo more >> "$1"')}
${action('append', 'echo more >> "$1"', { more: ', access = "write"' })}
${action('linked', 'cat "$1"', { more: ', hard_links = true' })}
${action('make', 'echo new > "$1" && mkdir "$1.d" || ln -s /x "$1.l"', { root: made, more: ', kind = "new"', user: 'daemon' })}
${action('look', 'ls "$1"', { more: ', kind = "directory"' })}
${action('fill', 'mkdir "$1/new" && echo x > "$1/new/x" && mv "$1/new/x" "$1/y"', { more: ', kind = "directory", access = "write"' })}
${actionText('copy', 'plain', ['/usr/bin/cp', '{from}', '{to}'])}
[action.copy.params]
from = { path = { root = "${logs}" }, repeat = { max = 2 } }
to = { path = { root = "${made}", kind = "directory", access = "write" } }
[[grant]]
who = ["uid:${caller.uid}"]
may = ${JSON.stringify(actions)}
`,
  })
})
after(async () => {
  if (skip === false) await bridge[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true, force: true })
})

function put(name: string, text: string): string {
  const path = join(logs, name)
  rmSync(path, { recursive: true, force: true })
  writeFileSync(path, text)
  chmodSync(path, 0o666)
  chownSync(path, caller.uid, caller.gid)
  return path
}

const bell = async (...args: readonly string[]): Promise<BellResult> => await bridge.bell(args)

test(
  'promise 1: a path parameter: the file that is named is read, at its own path',
  { skip },
  async () => {
    assert.deepEqual(await bell('show', 'file=a.log'), { status: 0, stdout: 'a\n', stderr: '' })
    assert.equal((await bell('show', 'file=sub/deeper/b.log')).stdout, 'b\n')
  },
)

test('promise 1: nothing else below the root is there, nor beside it', { skip }, async () => {
  const { stdout } = await bell('around', 'file=sub/deeper/b.log')
  const seen = ['logs', 'logs/sub', 'logs/sub/deeper', 'logs/sub/deeper/b.log'].map((name) =>
    join(directory, name),
  )
  // The other root of this profile is an empty place.
  assert.deepEqual([...new Set(stdout.trim().split('\n'))], [directory, ...seen, made])
})

test('promise 1: read is not write; write changes that file outside', { skip }, async () => {
  const path = put('a.log', 'a\n')
  const { status, stderr } = await bell('change', 'file=a.log')
  assert.notEqual(status, 0)
  assert.match(stderr, /Read-only|Permission denied/)
  assert.equal(readFileSync(path, 'utf8'), 'a\n')
  assert.equal((await bell('append', 'file=a.log')).status, 0)
  assert.equal(readFileSync(path, 'utf8'), 'a\nmore\n')
})

test('a log that grows while a run starts is no reason to refuse', { skip }, async () => {
  const path = put('a.log', 'a\n')
  const words = [join(directory, 'swap'), 'rewrite', path, '/etc/hostname', '/etc/passwd']
  await whileRunning(words, caller.uid, async () => {
    for (let turn = 0; turn < 30; turn += 1)
      assert.equal((await bell('show', 'file=a.log')).status, 0)
  })
})

test(
  'a new file appears outside, and belongs to whom the action runs as; nothing but files is made',
  { skip },
  async () => {
    const { status } = await bell('make', 'file=new.txt')
    assert.notEqual(status, 0)
    assert.deepEqual(readdirSync(made), ['new.txt'])
    const stat = statSync(join(made, 'new.txt'))
    assert.deepEqual([stat.uid, stat.gid, stat.mode & 0o777], [1, 1, 0o644])
    assert.match((await bell('make', 'file=new.txt')).stderr, /path_refused/)
    assert.match((await bell('make', 'file=none/new.txt')).stderr, /path_refused/)
    rmSync(join(made, 'new.txt'))
  },
)

test('a directory is seen whole, and changed if the policy says so', { skip }, async () => {
  assert.equal((await bell('look', 'file=sub/deeper')).stdout, 'b.log\n')
  mkdirSync(join(logs, 'open'))
  chmodSync(join(logs, 'open'), 0o777)
  const { status, stderr } = await bell('fill', 'file=open')
  assert.deepEqual([status, stderr], [0, ''])
  assert.deepEqual(readdirSync(join(logs, 'open')).sort(), ['new', 'y'])
})

test('several paths in one request, each seen; none may lie in another', { skip }, async () => {
  put('a.log', 'a\n')
  mkdirSync(join(made, 'to'))
  chmodSync(join(made, 'to'), 0o777)
  const { status, stderr } = await bell('copy', 'from=a.log', 'from=sub/deeper/b.log', 'to=to')
  assert.deepEqual([status, stderr], [0, ''])
  assert.deepEqual(readdirSync(join(made, 'to')).sort(), ['a.log', 'b.log'])
  assert.match(
    (await bell('copy', 'from=a.log', 'from=a.log/b', 'to=to')).stderr,
    /parameter_invalid/,
  )
  rmSync(join(made, 'to'), { recursive: true })
})

const values = [
  '../secret/a.log',
  'sub/../a.log',
  '..',
  '.',
  './a.log',
  '',
  '/etc/shadow',
  'sub//deeper',
  'sub/',
  '-a',
  'a\nb',
  'x'.repeat(256),
  'x/'.repeat(16) + 'x',
  'a\u202eb',
]
for (const value of values) {
  test(
    `promise 1: C09, C13: no path below a root: ${JSON.stringify(value.slice(0, 20))}`,
    { skip },
    async () => {
      const { status, stderr } = await bell('show', `file=${value}`)
      assert.equal(status, 125)
      assert.match(stderr, /parameter_invalid/)
    },
  )
}

const places: readonly (readonly [name: string, put: (path: string) => void])[] = [
  ['nothing', () => undefined],
  ['a link out', (path) => symlinkSync(join(secret, 'a.log'), path)],
  ['a link within', (path) => symlinkSync('a.log', path)],
  ['a magic link', (path) => symlinkSync('/proc/self/fd/0', path)],
  ['a pipe', (path) => execFileSync('mkfifo', [path])],
  ['a device', (path) => execFileSync('mknod', [path, 'c', '1', '5'])],
  ['a directory', (path) => mkdirSync(path)],
  [
    'a socket',
    (path) =>
      execFileSync('/usr/bin/python3', [
        '-c',
        `import socket; socket.socket(socket.AF_UNIX).bind(${JSON.stringify(path)})`,
      ]),
  ],
  ['a file with a second name', (path) => linkSync(join(secret, 'a.log'), path)],
]
for (const [name, make] of places) {
  test(`promise 1: C32: where a file is wanted, ${name} is refused`, { skip }, async () => {
    const path = join(logs, 'odd')
    rmSync(path, { recursive: true, force: true })
    make(path)
    for (const action of ['show', 'append']) {
      const { status, stdout, stderr } = await bell(action, 'file=odd')
      assert.deepEqual([status, stdout], [125, ''])
      assert.match(stderr, /path_refused/)
    }
    assert.equal(readFileSync(join(secret, 'a.log'), 'utf8'), 'secret\n')
    rmSync(path, { recursive: true, force: true })
  })
}

test('a file with a second name is taken where the policy says so', { skip }, async () => {
  linkSync(put('a.log', 'a\n'), join(logs, 'second'))
  assert.equal((await bell('linked', 'file=a.log')).stdout, 'a\n')
  assert.match((await bell('show', 'file=a.log')).stderr, /path_refused/)
  rmSync(join(logs, 'second'))
})

test(
  'promise 1: C32: a link on the way is not followed, and a file is no directory',
  { skip },
  async () => {
    symlinkSync(secret, join(logs, 'way'))
    for (const [action, file] of [
      ['show', 'way/a.log'],
      ['look', 'way'],
      ['show', 'a.log/x'],
      ['look', 'a.log'],
    ] as const) {
      assert.match((await bell(action, `file=${file}`)).stderr, /path_refused/, file)
    }
    rmSync(join(logs, 'way'))
  },
)

const swaps: readonly (readonly [name: string, words: readonly string[]])[] = [
  [
    'a link in its place, now and then',
    ['link', join(logs, 'sub/deeper/b.log'), join(secret, 'a.log')],
  ],
  [
    'a hard link in its place, now and then',
    ['hard', join(logs, 'sub/deeper/b.log'), join(secret, 'a.log')],
  ],
  [
    'its directory and a link change places',
    ['exchange', join(logs, 'sub/deeper'), join(logs, 'sub/link')],
  ],
]
for (const [name, words] of swaps) {
  test(`promise 1: C12, C32: never what lies outside of the root: ${name}`, { skip }, async () => {
    put('sub/deeper/b.log', 'b\n')
    writeFileSync(join(secret, 'b.log'), 'secret\n', { mode: 0o644 })
    rmSync(join(logs, 'sub/link'), { recursive: true, force: true })
    symlinkSync(secret, join(logs, 'sub/link'))
    // Root makes hard links to what it does not own where the kernel protects them; the rest is anybody's.
    const uid = words[0] === 'hard' ? 0 : caller.uid
    const runs = await whileRunning([join(directory, 'swap'), ...words], uid, async () => {
      const results: BellResult[] = []
      while (results.length < 150) {
        const action = results.length % 2 === 0 ? 'show' : 'append'
        results.push(await bell(action, 'file=sub/deeper/b.log'))
      }
      return results
    })
    for (const { stdout, stderr } of runs) assert.match(stdout, /^(?:b\n(?:more\n)*)?$/, stderr)
    for (const kept of ['a.log', 'b.log']) {
      assert.equal(readFileSync(join(secret, kept), 'utf8'), 'secret\n')
    }
    const ran = runs.filter(({ status }) => status === 0).length
    assert.ok(ran > 0 && ran < runs.length, `${ran} of ${runs.length} ran`)
    assert.ok(existsSync(join(logs, 'sub')))
    rmSync(join(logs, 'sub'), { recursive: true })
    mkdirSync(join(logs, 'sub/deeper'), { recursive: true })
    for (const path of ['sub', 'sub/deeper']) chownSync(join(logs, path), caller.uid, caller.gid)
  })
}
