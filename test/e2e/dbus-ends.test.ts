/** Proxies of filtered runs: how they end with their run, what becomes of a run without one, and what one may do. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readlinkSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { isCleanPath } from '../../src/core/identity.ts'
import type { CleanPath } from '../../src/core/identity.ts'
import { formatBase64, parseBase64 } from '../../src/core/json/base64.ts'
import { sha256Hex } from '../../src/core/json/digest.ts'
import { parseCompiledPolicy } from '../../src/core/policy/compiled-parse.ts'
import { formatCompiledPolicy, sealProfile } from '../../src/core/policy/compiled.ts'
import type { CompiledProfile } from '../../src/core/policy/compiled.ts'
import { landlockFs } from '../../src/core/sandbox/landlock.ts'
import { formatPlan, parsePlan } from '../../src/core/sandbox/plan.ts'
import { orderRoot } from '../../src/core/sandbox/root.ts'
import { bridgePaths } from '../../src/host/layout.ts'
import { installPolicy, loadInstalledPolicy } from '../../src/host/policy-store.ts'
import { readProc, until } from '../support/bridge.ts'
import { startDbusBridge } from '../support/dbus-bridge.ts'
import type { DbusBridge } from '../support/dbus-bridge.ts'
import { messageType } from '../support/dbus-wire.ts'
import { restart } from '../support/private-bus.ts'

const skip = process.geteuid?.() !== 0
let at: DbusBridge
before(async () => {
  if (!skip) at = await startDbusBridge()
})
after(async () => {
  if (!skip) await at[Symbol.asyncDispose]()
})

/** Neither a proxy, nor a directory, nor a connection to the bus is left. */
async function nothingIsLeft(connections: number): Promise<void> {
  await until(() => at.proxies().length === 0 && at.left().length === 0, 5000)
  await until(async () => (await at.bus.connections()) === connections, 5000)
}

test('dbus: a run leaves nothing, however it ended', { skip }, async () => {
  const connections = await at.bus.connections()
  const { peer, end, hangUp } = await at.reach('filtered')
  assert.equal(at.proxies().length, 1)
  assert.equal((await peer.call(restart))?.type, messageType.return)
  hangUp()
  assert.equal(await end, 0)
  await nothingIsLeft(connections)
  const gone = at.way('sleep')
  await until(() => at.proxies().length === 1, 5000)
  gone.kill()
  await nothingIsLeft(connections)
})

test(
  'dbus: two runs at once have a proxy each, and neither reaches the other',
  { skip },
  async () => {
    const connections = await at.bus.connections()
    const [one, two] = await Promise.all([at.reach('filtered'), at.reach('filtered')])
    assert.equal(at.proxies().length, 2)
    assert.equal(at.left().length, 2)
    assert.notEqual(one.peer.name(), two.peer.name())
    const call = {
      destination: two.peer.name(),
      path: '/x',
      interface: 'org.example.X',
      member: 'Ask',
    }
    const reply = await one.peer.call(call)
    assert.match(reply?.errorName ?? '', /NameHasNoOwner$/)
    assert.deepEqual(
      two.peer.heard.filter(({ member }) => member === 'Ask'),
      [],
    )
    one.hangUp()
    await one.end
    await until(() => at.proxies().length === 1, 5000)
    assert.equal((await two.peer.call(restart))?.type, messageType.return)
    two.hangUp()
    await two.end
    await nothingIsLeft(connections)
  },
)

test(
  'dbus: a run whose proxy is killed is killed too, and recorded as lost',
  { skip },
  async () => {
    const connections = await at.bus.connections()
    const outcome = await at.outcomeOf(async () => {
      const bell = at.way('sleep')
      await until(() => at.proxies().length === 1, 5000)
      const [proxy] = at.proxies()
      await until(() => sleepers() === 1, 5000)
      process.kill(proxy ?? -1, 'SIGKILL')
      const ended = Date.now()
      assert.equal(await bell.end, 125)
      assert.ok(Date.now() - ended < 5000)
    })
    assert.equal(outcome.end.kind, 'lost')
    await until(() => sleepers() === 0, 5000)
    await nothingIsLeft(connections)
  },
)

function sleepers(): number {
  const found = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
  return found.split('\n').filter((line) => line === '/usr/bin/sleep 30').length
}

function resealed({ digest, ...profile }: CompiledProfile): CompiledProfile {
  const sealed = sealProfile(profile)
  assert.notEqual(sealed.digest, digest)
  return sealed
}

/** Its plan, in which it sees this program. */
function planWith(executable: CleanPath, plan: string): string {
  const { mounts, landlock, ...rest } = parsePlan(parseBase64(plan))
  const seen = { source: executable, target: executable, writable: false, executable: true }
  const access = landlockFs.execute | landlockFs.readFile
  const paths = [...landlock.paths, { access, path: executable }]
  return formatBase64(
    formatPlan({
      ...rest,
      mounts: orderRoot([...mounts, { kind: 'bind', ...seen, optional: false }]),
      landlock: { ...landlock, paths: paths.toSorted((a, b) => (a.path < b.path ? -1 : 1)) },
    }),
  )
}

/** A proxy that root exchanged in the installed policy, so that it does not do what proxies do. It is told the same words. */
async function withProxy(executable: string, act: () => Promise<void>): Promise<void> {
  const { policy } = bridgePaths(at.bridge.root)
  const { text } = loadInstalledPolicy(policy)
  const whole = parseCompiledPolicy(text)
  assert.ok(isCleanPath(executable))
  const profiles = whole.profiles.map((profile) => {
    const { proxy } = profile
    if (proxy === null) return profile
    const plan = executable.startsWith('/usr/') ? proxy.plan : planWith(executable, proxy.plan)
    return resealed({ ...profile, proxy: { ...proxy, executable, plan } })
  })
  const reload = async (next: string): Promise<void> => {
    installPolicy(policy, next)
    process.kill(at.bridge.pids().launcher, 'SIGHUP')
    await until(async () => (await at.bridge.status()).stdout.includes(sha256Hex(next)), 5000)
  }
  await reload(formatCompiledPolicy({ ...whole, profiles }))
  try {
    await act()
  } finally {
    await reload(text)
  }
}

test(
  'dbus: a run whose proxy cannot start fails before it begins, and says so',
  { skip },
  async () => {
    await withProxy('/usr/bin/false', async () => {
      const outcome = await at.outcomeOf(async () => {
        const answer = await at.bridge.bell(['restart'])
        assert.equal(answer.status, 125)
        assert.match(answer.stderr, /proxy/)
      })
      assert.deepEqual([outcome.end.kind, outcome.end.stage], ['failed', 'proxy'])
      assert.deepEqual(outcome.features, [])
      await until(() => at.left().length === 0, 5000)
    })
  },
)

test(
  'dbus: a proxy that is never ready costs its run five seconds, and others nothing',
  { skip },
  async () => {
    await withProxy(join(at.directory, 'idle'), async () => {
      const waiting = at.bridge.bell(['restart'])
      assert.equal((await at.bridge.bell(['open.true'])).status, 0)
      assert.equal((await waiting).status, 125)
      const ETIMEDOUT = 110
      const end = { kind: 'failed', value: ETIMEDOUT, stage: 'proxy' }
      await until(
        () =>
          at.bridge
            .entries()
            .some((entry) => entry.kind === 'outcome' && isDeepStrictEqual(entry.end, end)),
        5000,
      )
      await until(() => at.left().length === 0, 5000)
    })
  },
)

test('dbus: a run begins when its bus is away, and reaches nothing', { skip }, async () => {
  renameSync(at.bus.socket, `${at.bus.socket}.away`)
  try {
    const answer = await at.bridge.bell(['restart'])
    assert.equal(answer.status, 1, answer.stderr)
  } finally {
    renameSync(`${at.bus.socket}.away`, at.bus.socket)
  }
  assert.equal((await at.bridge.bell(['restart'])).status, 0)
})

test(
  'dbus: a proxy has no capability, no network, no files, and the ids of its run',
  { skip },
  async () => {
    const { end, hangUp } = await at.reach('filtered')
    const [proxy = 0] = at.proxies()
    const status = readProc(`${proxy}/status`)
    for (const set of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) {
      assert.match(status, new RegExp(`^Cap${set}:\\s0+$`, 'm'))
    }
    assert.match(status, /^NoNewPrivs:\s1$/m)
    assert.match(status, /^Seccomp:\s2$/m)
    assert.match(status, /^Uid:\s0\s0\s0\s0$/m)
    for (const kind of ['pid', 'mnt', 'ipc', 'uts', 'net', 'cgroup']) {
      const [own, ours] = [proxy, 'self'].map((pid) => readlinkSync(`/proc/${pid}/ns/${kind}`))
      assert.notEqual(own, ours, kind)
    }
    const seen = execFileSync('find', [`/proc/${proxy}/root/`, '-maxdepth', '1'], {
      encoding: 'utf8',
    })
    const names = seen
      .trim()
      .split('\n')
      .map((path) => path.split('/').at(-1))
    for (const name of ['root', 'home', 'srv', 'opt', 'sys', 'boot'])
      assert.ok(!names.includes(name))
    const sockets = execFileSync('ls', [`/proc/${proxy}/root/bus-proxy`], { encoding: 'utf8' })
    assert.equal(sockets, '0\n')
    hangUp()
    await end
  },
)

test('dbus: a run cannot write where its proxy serves it', { skip }, async () => {
  const answer = await at.bridge.bell(['spoil'])
  assert.notEqual(answer.status, 0)
  assert.match(answer.stderr, /Read-only file system/)
})

test('dbus: nobody else on the host reaches a proxy', { skip }, async () => {
  const { end, hangUp } = await at.reach('filtered')
  const [place] = at.left()
  const path = `${at.bridge.root}/run/belladonna/buses/${place}/0`
  const other = ['--reuid', '61299', '--regid', '61299', '--clear-groups']
  assert.throws(
    () => execFileSync('setpriv', [...other, 'ls', path], { stdio: 'pipe' }),
    /Permission denied/,
  )
  hangUp()
  await end
})

test(
  'promise 6: dbus: whoever has a run’s uid and fills its proxy’s directory ends nobody',
  { skip },
  async () => {
    const { executor } = at.bridge.pids()
    await until(() => at.proxies().length === 0, 10_000) // of the test before
    const held = at.way('sleep.daemon')
    await until(() => at.proxies().length === 1, 10_000)
    const [proxy = 0] = at.proxies()
    const [place = ''] = at.left()
    const daemon = ['--reuid', 'daemon', '--regid', 'daemon', '--clear-groups']
    // One of these that root cannot remove without CAP_DAC_OVERRIDE.
    const inside = `/proc/${proxy}/root/bus-proxy/theirs`
    execFileSync('setpriv', [...daemon, 'mkdir', '-p', `${inside}/more`])
    held.kill()
    await until(() => at.proxies().length === 0, 10_000)
    assert.equal((await at.bridge.bell(['restart'])).status, 0)
    assert.equal(at.bridge.pids().executor, executor)
    rmSync(`${at.bridge.root}/run/belladonna/buses/${place}`, { recursive: true })
  },
)
