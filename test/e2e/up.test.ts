import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { ownCgroups } from '../../src/host/cgroup.ts'
import { checkout, exitOf, run, runAs, until } from '../support/bridge.ts'
import { copyCheckout } from '../support/copied-checkout.ts'

const skip = process.geteuid?.() !== 0
const belladonna = join(checkout, 'bin/belladonna')
const example = join(checkout, 'packaging/policy/example.toml')

type Up = AsyncDisposable & Readonly<{ root: string; pid: number; said: () => string }>

/** The directories that launchers made, in cgroup v2 and in the hierarchies of v1. */
function cgroupsOfOurs(): readonly string[] {
  return Object.values(ownCgroups())
    .filter((path) => path !== '')
    .flatMap((below) => readdirSync(below).map((name) => `${below}/${name}`))
    .filter((path) => /\/belladonna\.[^/]*$/.test(path))
}

async function startUp(root: string, program = belladonna): Promise<Up> {
  const child = spawn(program, ['up', '--root', root], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  await until(() => said.includes('ready') || child.exitCode !== null, 20_000)
  return {
    root,
    pid: child.pid ?? 0,
    said: () => said,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill('SIGTERM')
      await exitOf(child)
    },
  }
}

function freshRoot(name = ''): string {
  const root = mkdtempSync('/tmp/belladonna.')
  chmodSync(root, 0o755)
  if (name === '') return root
  mkdirSync(join(root, name), { mode: 0o755 })
  return join(root, name)
}

test(
  'belladonna: install, up, run, status, audit, by hand and below a path too long for a socket',
  { skip, timeout: 240_000 },
  async () => {
    const root = freshRoot('x'.repeat(120))
    const installed = await run([belladonna, 'policy', 'install', '--root', root, example])
    assert.match(installed.stdout, /^installed: 6 actions/)
    {
      await using up = await startUp(root)
      assert.match(up.said(), /ready/)
      const status = await run([belladonna, 'status', '--json', '--root', root])
      const answer: Readonly<{ mode: string; features: string[] }> = JSON.parse(status.stdout)
      assert.equal(answer.mode, 'privileged')
      assert.ok(answer.features.includes('seccomp'))
      assert.match(
        (await run([belladonna, 'status', '--root', root])).stdout,
        /^policy\.trust: unsigned$/m,
      )
      const denied = await run([belladonna, 'run', '--root', root, 'host.uname'])
      assert.equal(denied.status, 125) // root has no grant of it
      const permitted = await run([belladonna, 'run', '--root', root, 'host.accounts'])
      assert.equal(permitted.status, 0, permitted.stderr)
      const second = await run([belladonna, 'up', '--root', root])
      assert.notEqual(second.status, 0)
      assert.match(second.stderr, /another bridge/)
      await until(
        async () =>
          (await run([belladonna, 'audit', 'verify', '--json', '--root', root])).stdout.includes(
            '"unsigned_tail":0',
          ),
        10_000,
      )
      const shown = await run([belladonna, 'audit', 'show', '--last', '1', '--root', root])
      assert.match(shown.stdout, /ended/)
      assert.match(
        (await run([belladonna, 'audit', 'show', '--json', '1', '--root', root])).stdout,
        /"decision"|"denial"/,
      )
    }
    const away = await run([belladonna, 'status', '--root', root])
    assert.equal(away.status, 75)
    const verified = await run([belladonna, 'audit', 'verify', '--root', root])
    assert.equal(verified.status, 0, verified.stdout)
    const log = join(root, 'var/lib/belladonna/log/entries.wal')
    const bytes = readFileSync(log)
    const at = bytes.indexOf('"denial"')
    bytes[at + 1] = (bytes[at + 1] ?? 0) ^ 1
    writeFileSync(log, bytes)
    assert.notEqual((await run([belladonna, 'audit', 'verify', '--root', root])).status, 0)
    rmSync(join(root, '..'), { recursive: true })
  },
)

test(
  'L9: after SIGKILL of the launcher the next up removes its empty cgroups, and nobody else’s',
  { skip: skip || (ownCgroups().unified === '' && 'no cgroup v2'), timeout: 60_000 },
  async (t) => {
    const root = freshRoot()
    const { unified } = ownCgroups()
    await run([belladonna, 'policy', 'install', '--root', root, example])
    const leftBy = async (left: readonly string[]): Promise<readonly string[]> => {
      await using up = await startUp(root)
      const made = cgroupsOfOurs().filter((path) => path.includes(`.${up.pid}.`))
      assert.ok(made.some((path) => path.startsWith(unified)))
      for (const path of made) mkdirSync(join(path, 'run-7777')) // as of a run that was under way
      for (const path of left) assert.equal(existsSync(path), false, path)
      process.kill(up.pid, 'SIGKILL')
      return made
    }
    const first = await leftBy([])
    for (const path of first) assert.ok(existsSync(path), path)
    const mark = /\/(belladonna\.[0-9a-f]{12}\.)[^/]*$/.exec(first[0] ?? '')?.[1] ?? ''
    assert.notEqual(mark, '')
    const others = [
      `${mark}${process.pid}.0000`, // of a process that is there
      `${mark}4194305.0000`, // of one that is gone, as no pid is that high; but it is not empty
      `${mark}x`,
      `belladonna.0123456789ab.4194305.${process.pid}`, // of another run directory
    ].map((name) => join(unified, name))
    const kept = join(others[1] ?? '', 'kept')
    t.after(() => {
      for (const path of [kept, ...others]) rmdirSync(path)
    })
    for (const path of [...others, kept]) mkdirSync(path)
    const second = await leftBy(first)
    const third = await leftBy([...first, ...second])
    {
      await using up = await startUp(root) // and ends in an orderly way
      assert.match(up.said(), /ready/)
      for (const path of third) assert.equal(existsSync(path), false, path)
    }
    const left = cgroupsOfOurs().filter((path) => path.includes(`/${mark}`))
    assert.deepEqual(left.toSorted(), others.slice(0, 3).toSorted())
    for (const path of [...others, kept]) assert.ok(existsSync(path), path)
    rmSync(root, { recursive: true })
  },
)

test(
  'belladonna up refuses what is unsafe or missing, each with a reason',
  { skip, timeout: 240_000 },
  async () => {
    const root = freshRoot()
    const rows = [
      { args: ['up', '--root', root], status: [77, 78], says: /policy/ },
      { args: ['up', '--unprivileged', '--root', root], status: [2], says: /ordinary users/ },
      {
        args: ['policy', 'install', '--root', root, '/nonexistent'],
        status: [78, 77, 1],
        says: /nonexistent/,
      },
      { args: ['audit', 'verify', '--root', root], status: [75], says: /no log/ },
      { args: ['nonsense'], status: [2], says: /unknown command/ },
      { args: ['--help'], status: [0], says: /policy/ },
      { args: ['--version'], status: [0], says: /0\.1\.0/ },
      { args: ['audit', 'show', '--root', root, 'zzz'], status: [2], says: /expected/ },
    ]
    for (const { args, status, says } of rows) {
      const result = await run([belladonna, ...args])
      assert.ok(
        status.includes(result.status ?? -1),
        `${args.join(' ')}: ${result.status} ${result.stderr}`,
      )
      assert.match(result.stdout + result.stderr, says)
    }
    await run([belladonna, 'policy', 'install', '--root', root, example])
    chmodSync(join(root, 'var'), 0o777)
    const open = await run([belladonna, 'up', '--root', root])
    assert.equal(open.status, 77)
    assert.match(open.stderr, /path_unsafe/)
    rmSync(root, { recursive: true })
  },
)

test(
  'policy check: every error at once, with file, line and column; nothing is installed',
  { skip, timeout: 30_000 },
  async () => {
    const root = freshRoot()
    const file = join(root, 'bad.toml')
    writeFileSync(
      file,
      'schema = 1\n[action.x]\nabot = "y"\ncommand = ["/usr/bin/true"]\n[[grant]]\nwho = ["user:nobody-of-that-name"]\nmay = ["x", "z"]\n'.replaceAll(
        '\\n',
        '\n',
      ),
    )
    const text = await run([belladonna, 'policy', 'check', file])
    assert.equal(text.status, 78)
    for (const want of [/bad\.toml:3:1: /, /abot/, /nobody-of-that-name/, /run_as/])
      assert.match(text.stderr, want)
    const json = await run([belladonna, 'policy', 'check', '--json', file])
    assert.ok(JSON.parse(json.stdout).problems.length >= 3)
    rmSync(root, { recursive: true })
  },
)

test(
  'a checkout below a directory that others cannot enter',
  { skip, timeout: 120_000 },
  async () => {
    using copied = copyCheckout(0o700)
    const copy = copied.root
    const root = freshRoot()
    await run([join(copy, 'bin/belladonna'), 'policy', 'install', '--root', root, example])
    {
      await using up = await startUp(root, join(copy, 'bin/belladonna'))
      assert.match(up.said(), /ready/)
      cpSync(join(checkout, 'native/out/bell'), join(root, 'bell'))
      const result = await runAs(
        [join(root, 'bell'), '-S', join(root, 'run/belladonna/run.sock'), 'host.uname'],
        {},
      )
      assert.equal(result.status, 0, result.stderr)
    }
    rmSync(root, { recursive: true })
  },
)

test(
  'promise 6: up: state of another machine is refused with what to do, and once; as another host it begins anew',
  { skip, timeout: 60_000 },
  async (t) => {
    const root = freshRoot()
    t.after(() => rmSync(root, { recursive: true, force: true }))
    const installed = await run([belladonna, 'policy', 'install', '--root', root, example])
    assert.equal(installed.status, 0, installed.stderr)
    const hostOf = async (): Promise<string> => {
      await using bridge = await startUp(root)
      assert.equal(bridge.said(), 'ready\n')
      const { stdout } = await run([belladonna, 'status', '--json', '--root', root])
      const status: Readonly<{ host: string }> = JSON.parse(stdout)
      return status.host
    }
    const before = await hostOf()
    const lib = join(root, 'var/lib/belladonna')
    writeFileSync(join(lib, 'state/machine-id'), 'f'.repeat(32))
    const refused = await run(['timeout', '20', belladonna, 'up', '--root', root])
    assert.deepEqual([refused.status, refused.stdout], [1, ''])
    assert.match(
      refused.stderr,
      /^belladonna: this state was made on the machine "f{32}", and this is "[^"]+": to begin as another host move log, receipts and state away, all three \(state_invalid\)\n$/,
    )
    for (const name of ['log', 'receipts', 'state']) rmSync(join(lib, name), { recursive: true })
    assert.notEqual(await hostOf(), before)
  },
)

test(
  'a launcher that cannot look at the mounts says the kernel’s reason, and does not start',
  { skip, timeout: 60_000 },
  async () => {
    const root = freshRoot()
    await run([belladonna, 'policy', 'install', '--root', root, example])
    // Of a socket open(2) says ENXIO.
    const place = join(root, 'socket')
    const socket = createServer().listen(place)
    const program = join(root, 'up')
    const bind = `mount --bind ${place} /proc/$$/mountinfo && exec ${belladonna} "$@"`
    writeFileSync(program, `#!/bin/sh\nexec unshare -m /bin/sh -c '${bind}' sh "$@"\n`, {
      mode: 0o755,
    })
    await using up = await startUp(root, program)
    assert.match(up.said(), /: \/proc\/self\/mountinfo: No such device or address\n$/)
    socket.close()
    rmSync(root, { recursive: true })
  },
)
