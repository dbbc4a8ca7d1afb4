/** `unit:` grants with real cgroups. There is no systemd here: the launcher gets a cgroup namespace whose root is the test's. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { formatRequest } from '../../src/core/protocol/request.ts'
import { compile, openScratch } from '../native/compile.ts'
import { actionText } from '../support/action-text.ts'
import { compileStatic, openLauncherBuild } from './sandbox/programs.ts'
import { caller, run, startBridge, until } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'

const skip = process.geteuid?.() !== 0
const hierarchies = ['unified', 'systemd'].map((name) => `/sys/fs/cgroup/${name}`)
let top: readonly string[] = []
let bridge: TestBridge

const policy = `
schema = 1
[profile.p]
${actionText('id', 'p', ['/usr/bin/id', '-u'])}
${actionText('look', 'p', ['/usr/bin/true'])}
${actionText('far', 'p', ['/usr/bin/true'])}
[[grant]]
who = ["unit:deploy.service"]
may = ["id"]
[[grant]]
who = ["unit:build.service"]
may = ["look"]
[[grant]]
who = ["unit:deploy.service"]
may = ["far"]
namespace = "any"
`

before(async () => {
  if (skip) return
  top = hierarchies.map((path) => mkdtempSync(join(path, 'belladonna-units.')))
  const start = (...words: readonly string[]): readonly string[] => [...entering(), ...words]
  bridge = await startBridge({ policy, start })
})

after(async () => {
  if (skip) return
  await bridge[Symbol.asyncDispose]()
  for (const path of top) await until(() => sweep(path), 5000)
})

/** Takes away a tree of cgroups; false while somebody is in one. */
function sweep(path: string): boolean {
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory() && !sweep(join(path, entry.name))) return false
  }
  try {
    rmdirSync(path)
    return true
  } catch {
    return false
  }
}

/** Into our own groups, then a namespace of which these are the roots; all in one process, which becomes the launcher. */
function entering(): readonly string[] {
  const script = `for d in ${top.join(' ')}; do echo $$ > $d/cgroup.procs; done; exec unshare -C "$@"`
  return ['/bin/sh', '-c', script, 'sh']
}

const move = 'for d in "$1" "$2"; do echo $$ > "$d/cgroup.procs"; done; shift 2; exec "$@"'

/** bell as a stranger whom no uid or group grants anything, from this cgroup in v2 and this one in name=systemd. */
async function askFrom(
  unified: string,
  systemd = unified,
  action = 'id',
  of = bridge,
): Promise<BellResult> {
  const paths = [unified, systemd].map((path, index) => join(top[index] ?? '', path))
  for (const path of paths) mkdirSync(path, { recursive: true })
  const words = ['/bin/sh', '-c', move, 'sh', ...paths]
  return await of.bell([action], { uid: caller.uid, groups: [], before: words })
}

/** A program that asks in odd ways, and the request that it sends. */
function strangeClient(
  directory: string,
  action: string,
): readonly [program: string, frame: string] {
  chmodSync(directory, 0o755)
  const frame = join(directory, 'frame')
  const request = formatRequest({ action, reason: '', nonce: null, parameters: [] })
  writeFileSync(frame, formatFrame(wireKind.request, request))
  return [compile(directory, 'strange-client.c'), frame]
}

/** The unit in the resolved action of the last that was permitted. */
function lastUnit(): unknown {
  const entry = bridge.entries().findLast(({ kind }) => kind === 'intent')
  return entry?.kind === 'intent' ? /"unit":("[^"]*"|null)/.exec(entry.action)?.[1] : undefined
}

test('promise 1: a grant to a unit is for who is in its cgroup', { skip }, async () => {
  const { status, stdout, stderr } = await askFrom('system.slice/deploy.service')
  assert.equal(stderr, '')
  assert.equal(status, 0)
  assert.equal(stdout, '0\n')
  assert.equal(lastUnit(), '"deploy.service"')
  assert.equal((await askFrom('a.slice/a-b.slice/deploy.service/worker')).status, 0)
  assert.equal((await askFrom('', 'system.slice/deploy.service')).status, 0) // legacy
})

test('promise 1: a neighbour is another unit, with grants of its own', { skip }, async () => {
  assert.equal((await askFrom('system.slice/build.service')).status, 125) // not this action
  assert.equal((await askFrom('system.slice/build.service', undefined, 'look')).status, 0)
  assert.equal(lastUnit(), '"build.service"')
})

for (const path of [
  'user.slice/user-1000.slice/user@1000.service/app.slice/deploy.service',
  'user.slice/user-1000.slice/user@1000.service/deploy.service',
  'system.slice/docker-1f.scope/system.slice/deploy.service',
  'system.slice/deploy.service (deleted)',
  'system.slice/deploy.service.x',
  'deploy.service',
]) {
  test(`C35: a cgroup /${path} of somebody's own is not the unit`, { skip }, async () => {
    assert.equal((await askFrom(path)).status, 127)
  })
}

test('C35: two hierarchies that do not agree are nobody', { skip }, async () => {
  assert.equal(
    (await askFrom('system.slice/build.service', 'system.slice/deploy.service')).status,
    127,
  )
})

test('C35: the kernel takes no cgroup with a newline in its name', { skip }, () => {
  assert.throws(() => mkdirSync(join(top[0] ?? '', 'a\n0::')), { code: 'EINVAL' })
})

test(
  'C26: a unit that is gone leaves its connection to nobody, not even to its pid',
  { skip },
  async () => {
    using scratch = openScratch()
    const [program, frame] = strangeClient(scratch.path, 'id')
    const words = (mode: string): readonly string[] => {
      return [program, mode, bridge.socket, frame, `${caller.uid}`, `${caller.uid}`]
    }
    const unit = join(top[0] ?? '', 'system.slice/deploy.service')
    const inUnit = ['/bin/sh', '-c', move, 'sh', unit, top[1] ?? '']
    // Who connected is still there: the connection is the unit's, so that the second half can fail.
    assert.doesNotMatch((await run([...inUnit, ...words('lend')])).stdout, /"code"/)
    // The launcher reads only after another process of the same unit has the pid.
    const reused = [...inUnit, ...words('reuse'), String(bridge.pids().launcher)]
    assert.match((await run(reused)).stdout, /subject_foreign_namespace/)
  },
)

test(
  'C26: who has ended is no unit’s any more, though its pid is nobody else’s and a grant takes any namespace',
  { skip },
  async () => {
    using scratch = openScratch()
    const [program, frame] = strangeClient(scratch.path, 'far')
    const unit = join(top[0] ?? '', 'system.slice/deploy.service')
    mkdirSync(unit, { recursive: true })
    const inUnit = ['/bin/sh', '-c', move, 'sh', unit, top[1] ?? '']
    const ask = async (mode: string, last: string, of = bridge): Promise<string> => {
      const words = [program, mode, of.socket, frame, `${caller.uid}`, last]
      return (await run([...inUnit, ...words])).stdout
    }
    assert.doesNotMatch(await ask('lend', `${caller.uid}`), /"code"/)
    assert.match(await ask('zombie', `${bridge.pids().launcher}`), /subject_foreign_namespace/)
    // Without the looks at whether it is still there it would have been the unit.
    const from = 'poll(&alive, 1, 0) == 0 && user != 0 && process != 0'
    const edit = { file: 'launcher/door.c', from, to: 'true' }
    const launcher = openLauncherBuild(scratch.path)([edit])
    const start = (_: string, boot: string): readonly string[] => [...entering(), launcher, boot]
    await using weaker = await startBridge({ policy, start })
    const zombie = await ask('zombie', `${weaker.pids().launcher}`, weaker)
    assert.doesNotMatch(zombie, /"code"/)
    assert.notEqual(zombie, '')
  },
)

test(
  'C33: a kernel that names no peer by a descriptor: unit grants match nobody, and status says so',
  { skip },
  async () => {
    using scratch = openScratch()
    const around = compileStatic(scratch.path, 'around')
    const start = (...words: readonly string[]): readonly string[] => {
      return [...entering(), around, 'option', '77', ...words] // SO_PEERPIDFD
    }
    await using old = await startBridge({ policy, start })
    const limits = (text: string): boolean => /unit: grants match nobody/.test(text)
    const said = await old.status()
    assert.doesNotMatch(said.stdout, /peer_pidfd/)
    assert.ok(limits(said.stdout))
    assert.equal((await askFrom('system.slice/deploy.service', undefined, 'id', old)).status, 127)
    assert.ok(!limits((await bridge.status()).stdout))
    assert.equal((await askFrom('system.slice/deploy.service')).status, 0)
  },
)
