/** A bridge of an ordinary user's own, as a unit of that user's manager, in a cgroup that this manager delegated. */
import assert from 'node:assert/strict'
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { compileStatic } from '../../e2e/sandbox/programs.ts'
import { actionText } from '../../support/action-text.ts'
import { checkout, runAs, until } from '../../support/bridge.ts'
import type { BellResult } from '../../support/bridge.ts'
import { call, directory, stranger, strangerSystemctl } from './place.ts'

const root = `/home/${stranger.name}/bridge`
const unit = 'own-bridge.service'
const cgroup = `/sys/fs/cgroup/user.slice/user-${stranger.uid}.slice/user@${stranger.uid}.service/app.slice/${unit}`

const policy = `schema = 1
[profile.small]
read = ["/usr"]
limits = { processes = 32, memory = "64M", time = "100s" }
${actionText('memory', 'small', [`${directory}/probe`, 'memory', '300'])}
${actionText('fork', 'small', [`${directory}/probe`, 'fork', '10000'])}
[[grant]]
who = ["uid:${stranger.uid}"]
may = ["memory", "fork"]
`

async function asStranger(...words: readonly string[]): Promise<BellResult> {
  return await runAs(words, { uid: stranger.uid, groups: [] })
}

before(async () => {
  if (!existsSync(`/home/${stranger.name}`)) {
    call('useradd', '--create-home', `--uid=${stranger.uid}`, stranger.name)
  }
  mkdirSync(directory, { recursive: true })
  compileStatic(directory, 'probe')
  mkdirSync(root)
  chownSync(root, stranger.uid, stranger.uid)
  chmodSync(`/home/${stranger.name}`, 0o755)
  const source = join(root, 'policy.toml')
  writeFileSync(source, policy)
  chownSync(source, stranger.uid, stranger.uid)
  const cli = join(checkout, 'bin/belladonna')
  const installed = await asStranger(cli, 'policy', 'install', '--root', root, source)
  assert.equal(installed.status, 0, installed.stderr)
  mkdirSync('/etc/systemd/user', { recursive: true })
  writeFileSync(
    `/etc/systemd/user/${unit}`,
    `[Service]
Type=notify
ExecStart=${checkout}/bin/belladonnad --unprivileged --root ${root}
Delegate=yes
KillMode=mixed
OOMPolicy=continue
TimeoutStartSec=300
`,
  )
})

test('a bridge without privileges has limits, in a unit of its user that is delegated', async () => {
  await strangerSystemctl('daemon-reload')
  assert.equal((await strangerSystemctl('start', '--no-block', unit)).status, 0)
  const state = async (): Promise<string> => (await strangerSystemctl('is-active', unit)).stdout
  await until(async () => (await state()) === 'active\n', 280_000)
  const bell = [join(checkout, 'bin/bell'), '-S', `${root}/run/belladonna/run.sock`]
  const forks = await asStranger(...bell, 'fork')
  assert.deepEqual([forks.status, forks.stdout], [0, 'fewer than 64\n'])
  assert.match(forks.stderr, /^bell: the run could not start another process/)
  const memory = await asStranger(...bell, 'memory')
  assert.equal(memory.status, 137)
  assert.match(memory.stderr, /^bell: the kernel killed a process of the run for want of memory/)
  const status = await asStranger(join(checkout, 'bin/belladonna'), 'status', '--root', root)
  assert.match(status.stdout, /^features: .*cgroup_kill, cgroup_limits/m)
  assert.match(status.stdout, /promises 4 and 5 do not hold/)
})

test('L9: it leaves nothing when it is stopped', async () => {
  assert.ok(existsSync(cgroup))
  assert.equal((await strangerSystemctl('stop', unit)).status, 0)
  await until(() => !existsSync(cgroup), 20_000)
  assert.ok(!existsSync(`${root}/run/belladonna/run.sock`))
})
