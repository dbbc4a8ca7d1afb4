/** The unit from start to stop, under the real system manager. Each test leaves the bridge up and answering. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import type { OutcomeEntry } from '../../../src/core/audit/entry.ts'
import { checkout, until } from '../../support/bridge.ts'
import { isLinux } from '../../support/kernel.ts'
import {
  answering,
  bell,
  call,
  cli,
  directory,
  entries,
  groupFile,
  groupsBelow,
  installBridge,
  launcherPid,
  policy,
  policyFile,
  processesWith,
  property,
  stranger,
  strangerSystemctl,
  unit,
  unitCgroup,
  user,
} from './place.ts'

before(() => {
  installBridge()
})

/** Of the newest run of this action, once it is recorded: who asked has the answer before. */
async function outcomeOf(action: string): Promise<OutcomeEntry> {
  let found: OutcomeEntry | undefined
  await until(() => {
    const all = entries()
    const intent = all.findLastIndex((entry) => {
      return entry.kind === 'intent' && entry.action.includes(`"action":"${action}"`)
    })
    const outcomes = all.filter((entry) => entry.kind === 'outcome')
    found = outcomes.find((outcome) => outcome.intent === intent)
    return found !== undefined
  }, 20_000)
  assert.ok(found)
  return found
}

test('systemd finds nothing to say about the unit file', () => {
  assert.equal(call('systemd-analyze', 'verify', '--man=no', `/etc/systemd/system/${unit}`), '')
})

test('systemctl start returns when clients are let in: Type=notify', async () => {
  call('systemctl', 'start', unit)
  const { status, stdout, stderr } = await bell('id', user.uid)
  assert.deepEqual([status, stdout, stderr], [0, '0\n', ''])
  assert.equal(property('ActiveState'), 'active')
  assert.match(readFileSync(`/proc/${launcherPid()}/comm`, 'utf8'), /^belladonna-laun/)
})

test('root and a user run what they are granted; who is granted nothing is refused', async () => {
  assert.equal((await bell('id', user.uid)).status, 0)
  assert.equal((await bell('id')).status, 125)
  assert.equal((await bell('fork')).status, 0)
  assert.equal((await bell('no.such')).status, 127)
})

test('promise 8: status and outcome name what this kernel enforces, and the reason for what it does not', async () => {
  const { stdout } = await cli('status')
  const features = new Set(/^features: (.*)$/m.exec(stdout)?.[1]?.split(', '))
  const byKernel = [
    ['cgroup_limits', true],
    ['cgroup_kill', true],
    ['landlock_files', true],
    ['landlock_truncate', isLinux(6, 2)],
    ['peer_pidfd', isLinux(6, 5)],
    ['landlock_tcp', false, isLinux(6, 7)],
    ['landlock_ioctl', isLinux(6, 10)],
    ['landlock_scope', isLinux(6, 12)],
    ['network_shared_empty', isLinux(6, 12)],
  ] as const
  for (const [name, told, host = told] of byKernel) assert.equal(features.has(name), host, name)
  const missing = byKernel.flatMap(([name, , host]) => (host === false ? [name] : []))
  const profile = /^profile small: (.*)$/m.exec(stdout)?.[1] ?? ''
  for (const name of missing)
    if (name !== 'landlock_tcp') assert.match(profile, new RegExp(`missing ${name} \\(needs`))
  assert.equal(/unit: grants match nobody/.test(stdout), !isLinux(6, 5))
  await bell('id', user.uid)
  const outcome = await outcomeOf('id')
  assert.deepEqual(outcome.limits, { memory: 'kept', processes: 'kept' })
  for (const [name, told] of byKernel) {
    if (name !== 'peer_pidfd') assert.equal(outcome.features.includes(name), told, name)
  }
})

test('the launcher is in a leaf, runs beside it, and no process where controllers are handed down', async () => {
  const client = spawn(join(checkout, 'bin/bell'), ['wait'], { stdio: 'ignore' })
  try {
    await until(() => processesWith('sleep 94711').length === 1, 60_000)
    const groups = groupsBelow()
    const ours = groups.find((path) => /^\/belladonna\.[^/]*$/.test(path)) ?? ''
    for (const path of ['', ours]) {
      assert.equal(groupFile(`${path}/cgroup.procs`), '')
      assert.deepEqual(groupFile(`${path}/cgroup.subtree_control`).split(' ').toSorted(), [
        'memory',
        'pids',
      ])
    }
    assert.ok(groupFile(`${ours}/launcher/cgroup.procs`).split('\n').includes(`${launcherPid()}`))
    const running = groups.filter((path) => {
      return (
        path.startsWith(`${ours}/run-`) && groupFile(`${path}/memory.max`) === `${64 * 1024 * 1024}`
      )
    })
    assert.equal(running.length, 1)
    const [path = ''] = running
    assert.equal(groupFile(`${path}/pids.max`), '33')
    assert.equal(groupFile(`${path}/memory.swap.max`), '0')
    assert.equal(groupFile(`${path}/cgroup.procs`).split('\n').length, 2)
  } finally {
    client.kill('SIGKILL')
  }
  await until(() => processesWith('sleep 94711').length === 0, 60_000)
})

test('C86: a run that fills memory is killed, and only it: no other run, no service, not the unit', async () => {
  writeFileSync('/swap', '')
  call('fallocate', '-l', '600M', '/swap')
  call('chmod', '600', '/swap')
  call('mkswap', '/swap')
  call('swapon', '/swap')
  const pids = groupsBelow('').map((path) => groupFile(`${path}/cgroup.procs`))
  const launcher = groupsBelow().find((path) => path.endsWith('/launcher')) ?? ''
  const before = groupFile(`${launcher}/cgroup.procs`)
  const client = spawn(join(checkout, 'bin/bell'), ['wait'], { stdio: 'ignore' })
  await until(() => processesWith('sleep 94711').length === 1, 60_000)
  assert.ok(pids.length > 0)
  assert.equal((await bell('memory')).status, 137)
  const { end, limits } = await outcomeOf('memory')
  assert.deepEqual(end, { kind: 'signalled', value: 9, stage: 'none' })
  assert.deepEqual(limits, { memory: 'hit', processes: 'kept' })
  assert.equal(processesWith('sleep 94711').length, 1, 'another run goes on')
  client.kill('SIGKILL')
  await until(() => processesWith('sleep 94711').length === 0, 60_000)
  assert.match(groupFile('/memory.events'), /^oom_kill [1-9]/m)
  call('swapoff', '/swap')
  await until(() => groupFile(`${launcher}/cgroup.procs`) === before, 20_000)
  assert.deepEqual(
    [property('ActiveState'), property('NRestarts'), property('Result')],
    ['active', '0', 'success'],
  )
})

test('C86: a run that forks without end has its 32 processes, and no more', async () => {
  const { status, stdout } = await bell('fork')
  assert.deepEqual([status, stdout], [0, 'fewer than 64\n'])
  assert.deepEqual((await outcomeOf('fork')).limits, { memory: 'kept', processes: 'hit' })
})

test('promise 1: a grant to a unit is for the service of the system manager', async () => {
  call('systemctl', 'start', 'deploy.service', '--no-block')
  await until(
    () => ['inactive', 'failed'].includes(property('ActiveState', 'deploy.service')),
    60_000,
  )
  if (isLinux(6, 5)) {
    assert.equal(readFileSync(`${directory}/deploy.out`, 'utf8'), '0\n')
    assert.equal(property('Result', 'deploy.service'), 'success')
  } else {
    assert.match(readFileSync(`${directory}/deploy.err`, 'utf8'), /action_unknown/)
    assert.equal(property('ExecMainStatus', 'deploy.service'), '127')
  }
})

test('C35: a unit of a user manager with the same name is nobody', async () => {
  const { status } = await strangerSystemctl('start', 'deploy.service')
  assert.equal(status, 1)
  assert.match(readFileSync(`/home/${stranger.name}/deploy.err`, 'utf8'), /action_unknown/)
})

test('systemctl reload returns when the policy is in force, and fails when it is refused', async () => {
  writeFileSync(policyFile, policy.replace('"user:ci"', '"user:ci", "user:root"'))
  assert.equal((await cli('policy', 'install')).status, 0)
  call('systemctl', 'reload', unit)
  assert.equal((await bell('id')).status, 0)
  const installed = '/var/lib/belladonna/policy/policy.json'
  const good = readFileSync(installed, 'utf8')
  writeFileSync(installed, '{}')
  assert.throws(() => call('systemctl', 'reload', unit))
  assert.equal((await bell('id')).status, 0)
  assert.equal(property('ActiveState'), 'active')
  writeFileSync(installed, good)
  call('systemctl', 'reload', unit)
})

test('service.restart: systemctl in a sandbox restarts a real unit over the socket that its profile names', async () => {
  call('systemctl', 'start', 'trivial.service')
  const before = property('MainPID', 'trivial.service')
  const { status, stderr } = await bell('service.restart', user.uid, 'service=trivial.service')
  assert.deepEqual([status, stderr], [0, ''])
  await until(() => property('ActiveState', 'trivial.service') === 'active', 20_000)
  assert.notEqual(property('MainPID', 'trivial.service'), before)
})

test('filtered.restart: the one call that the proxy of Debian lets through restarts a real unit', async () => {
  const before = property('MainPID', 'trivial.service')
  const { status, stdout } = await bell('filtered.restart', user.uid)
  assert.equal(status, 0)
  assert.match(stdout, /object path "\/org\/freedesktop\/systemd1\/job\/\d+"/)
  await until(() => property('MainPID', 'trivial.service') !== before, 20_000)
  await until(() => property('ActiveState', 'trivial.service') === 'active', 20_000)
})

// docs/reference/sandbox.md, "D-Bus".
for (const action of ['filtered.systemctl', 'filtered.busctl']) {
  test(`${action}: clients of systemd's own fail at that proxy, and do nothing`, async () => {
    const before = property('MainPID', 'trivial.service')
    assert.equal((await bell(action, user.uid)).status, 1)
    assert.equal(property('MainPID', 'trivial.service'), before)
  })
}

test('filtered.stop: another call of the same object does not go through', async () => {
  const before = property('MainPID', 'trivial.service')
  const { status, stderr } = await bell('filtered.stop', user.uid)
  assert.equal(status, 1)
  assert.match(stderr, /AccessDenied/)
  assert.deepEqual(
    [property('ActiveState', 'trivial.service'), property('MainPID', 'trivial.service')],
    ['active', before],
  )
})

test('a broker that dies is started again by the launcher, without systemd', async () => {
  const before = [launcherPid(), property('NRestarts')]
  const [broker = 0] = processesWith('/belladonna/src/daemon/broker/main.ts')
  process.kill(broker, 'SIGKILL')
  await until(() => !existsSync(`/proc/${broker}`), 20_000)
  await answering()
  assert.deepEqual([launcherPid(), property('NRestarts')], before)
})

test('SIGKILL of the launcher: its run ends, systemd starts the bridge again, and the run is in the log', async () => {
  const old = launcherPid()
  const restarts = Number(property('NRestarts'))
  const client = spawn(join(checkout, 'bin/bell'), ['wait'], { stdio: 'ignore' })
  await until(() => processesWith('sleep 94711').length === 1, 60_000)
  process.kill(old, 'SIGKILL')
  await new Promise((resolve) => client.once('close', resolve))
  await until(() => processesWith('sleep 94711').length === 0, 20_000)
  await until(() => property('ActiveState') === 'active' && launcherPid() !== old, 200_000)
  await answering()
  assert.equal(Number(property('NRestarts')), restarts + 1)
  const recovered = entries().findLast(({ kind }) => kind === 'recovered')
  assert.equal(recovered?.kind === 'recovered' && recovered.state, 'unknown')
  assert.equal(groupsBelow().filter((path) => path.endsWith('/launcher')).length, 1)
  assert.match((await cli('status')).stdout, /^features: .*cgroup_limits/m)
})

test('the watchdog: a launcher that does not turn is ended and started again', async () => {
  const old = launcherPid()
  process.kill(old, 'SIGSTOP')
  await until(() => property('Result') === 'watchdog' || launcherPid() !== old, 250_000)
  await until(() => property('ActiveState') === 'active' && launcherPid() !== old, 200_000)
  await answering()
})

test('the watchdog is fed while nobody asks for anything', async () => {
  const old = launcherPid()
  await new Promise((resolve) => setTimeout(resolve, 200_000))
  assert.deepEqual([launcherPid(), property('ActiveState')], [old, 'active'])
})

test('L9: systemctl stop leaves no process, cgroup, mount or socket, and ends with success', async () => {
  const old = launcherPid()
  const client = spawn(join(checkout, 'bin/bell'), ['wait'], { stdio: 'ignore' })
  await until(() => processesWith('sleep 94711').length === 1, 60_000)
  call('systemctl', 'stop', unit)
  await new Promise((resolve) => client.once('close', resolve))
  assert.deepEqual([property('Result'), property('ExecMainStatus')], ['success', '0'])
  await until(() => !existsSync(unitCgroup), 20_000)
  assert.deepEqual(processesWith('belladonna-launcher'), [])
  assert.deepEqual(processesWith('/daemon/'), [])
  assert.ok(!existsSync(`/proc/${old}`))
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  assert.deepEqual(
    mounts.filter((line) => /belladonna/.test(line) && !/\/opt\/belladonna/.test(line)),
    [],
  )
  for (const name of ['run.sock', 'bridge.sock', 'boot'])
    assert.ok(!existsSync(`/run/belladonna/${name}`), name)
  const last = entries().at(-1)
  assert.equal(last?.kind, 'stop')
})

test('audit verify: all of that is one log, and each run has its receipt', async () => {
  const { status, stdout, stderr } = await cli('audit', 'verify')
  assert.equal(status, 0, stdout + stderr)
  console.log(stdout)
})

test('without Delegate=yes nothing is divided that is not ours: the bridge works, and says what is missing', async () => {
  const drop = `/etc/systemd/system/${unit}.d`
  mkdirSync(drop, { recursive: true })
  writeFileSync(`${drop}/undelegated.conf`, '[Service]\nDelegate=no\n')
  call('systemctl', 'daemon-reload')
  call('systemctl', 'start', unit)
  assert.equal((await bell('id', user.uid)).status, 0)
  assert.match((await cli('status')).stdout, /^profile small: .*missing cgroup_limits \(needs/m)
  assert.equal(groupFile('/cgroup.subtree_control'), '')
  call('systemctl', 'stop', unit)
})
