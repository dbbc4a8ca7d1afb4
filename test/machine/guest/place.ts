/** The bridge of this machine as its users have it: the unit of `packaging`, no `--root`, systemd above it. */
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { parseEntry } from '../../../src/core/audit/entry-parse.ts'
import type { Entry } from '../../../src/core/audit/entry.ts'
import { openLogSource } from '../../../src/host/read-log.ts'
import { compileStatic } from '../../e2e/sandbox/programs.ts'
import { actionText } from '../../support/action-text.ts'
import { checkout, run, runAs, until } from '../../support/bridge.ts'
import type { BellResult } from '../../support/bridge.ts'

export const unit = 'belladonnad.service'
export const unitCgroup: string = `/sys/fs/cgroup/system.slice/${unit}`
/** Somebody whom no uid and no group grants anything. */
export const stranger: Readonly<{ name: string; uid: number }> = { name: 'stranger', uid: 1001 }
/** An ordinary user of the image, in the group sudo. */
export const user: Readonly<{ uid: number; gid: number; group: number }> = {
  uid: 1000,
  gid: 1000,
  group: 27,
}
export const directory = '/usr/local/lib/machine'
export const policyFile = '/etc/belladonna/policy.d/machine.toml'

const manager = 'org.freedesktop.systemd1'
const managerPath = `/${manager.replaceAll('.', '/')}`
/** A call of systemd's own, on trivial.service. */
function callOfManager(method: string): readonly string[] {
  return [
    ...['/usr/bin/dbus-send', '--system', '--print-reply', `--dest=${manager}`],
    ...[managerPath, `${manager}.Manager.${method}`],
    ...['string:trivial.service', 'string:replace'],
  ]
}

export const policy: string = `schema = 1
[profile.small]
read = ["/usr"]
limits = { processes = 32, memory = "64M", time = "100s" }
[profile.bus]
read = ["/usr", "/etc/systemd", "/run/systemd/system"]
sockets = [{ path = "/run/dbus/system_bus_socket" }]
escapable = true
limits = { time = "60s" }
[profile.filtered]
read = ["/usr"]
limits = { time = "60s" }
[[profile.filtered.sockets]]
path = "/run/dbus/system_bus_socket"
dbus = [{ name = "org.freedesktop.systemd1", call = "org.freedesktop.systemd1.Manager.RestartUnit", path = "/org/freedesktop/systemd1" }]
[action."service.restart"]
about = "Restart a service"
command = ["/usr/bin/systemctl", "restart", "{service}"]
run_as = "root"
profile = "bus"
risk = "reversible"
[action."service.restart".params.service]
one_of = ["trivial.service"]
${Object.entries({
  id: ['/usr/bin/id', '-u'],
  wait: ['/usr/bin/sleep', '94711'],
  nap: ['/usr/bin/sleep', '60'],
  memory: [`${directory}/probe`, 'memory', '300'],
  fork: [`${directory}/probe`, 'fork', '10000'],
})
  .map(([name, command]) => actionText(name, 'small', command))
  .join('\n')}
${Object.entries({
  'filtered.systemctl': ['/usr/bin/systemctl', '--no-block', 'restart', 'trivial.service'],
  'filtered.busctl': [
    ...['/usr/bin/busctl', 'call', manager, managerPath, `${manager}.Manager`],
    ...['RestartUnit', 'ss', 'trivial.service', 'replace'],
  ],
  'filtered.restart': callOfManager('RestartUnit'),
  'filtered.stop': callOfManager('StopUnit'),
})
  .map(([name, command]) => actionText(name, 'filtered', command))
  .join('\n')}
[[grant]]
who = ["group:sudo", "user:root"]
may = ["service.restart", "wait", "nap", "memory", "fork", "filtered.systemctl", "filtered.busctl", "filtered.restart", "filtered.stop"]
[[grant]]
who = ["user:ci"]
may = ["id"]
[[grant]]
who = ["unit:deploy.service"]
may = ["id"]
`

const deploy = `[Service]
Type=oneshot
ExecStart=${checkout}/bin/bell id`
const unitFiles: Readonly<Record<string, string>> = {
  'trivial.service': '[Service]\nExecStart=/usr/bin/sleep infinity\n',
  'deploy.service': `${deploy}
User=${stranger.name}
StandardOutput=file:${directory}/deploy.out
StandardError=file:${directory}/deploy.err
`,
  // An emulated processor that others use too starts Node in half a minute, and each service is one.
  [`${unit}.d/patience.conf`]: '[Service]\nTimeoutStartSec=300\nWatchdogSec=180\n',
}

/** Installs all that docs/how-to/run-under-systemd.md says, and what the tests run. */
export function installBridge(): void {
  const units = '/etc/systemd/system'
  mkdirSync(directory, { recursive: true })
  compileStatic(directory, 'probe')
  mkdirSync('/etc/belladonna/policy.d', { recursive: true })
  writeFileSync(policyFile, policy)
  copyFileSync(join(checkout, 'packaging/systemd/belladonnad.service'), join(units, unit))
  copyFileSync(
    join(checkout, 'packaging/systemd/belladonna.sysusers'),
    '/usr/lib/sysusers.d/belladonna.conf',
  )
  mkdirSync(join(units, `${unit}.d`), { recursive: true })
  for (const [name, text] of Object.entries(unitFiles)) writeFileSync(join(units, name), text)
  mkdirSync('/etc/systemd/user', { recursive: true })
  const home = `/home/${stranger.name}`
  writeFileSync(
    '/etc/systemd/user/deploy.service',
    `${deploy}\nStandardError=file:${home}/deploy.err\n`,
  )
  call('useradd', '--create-home', `--uid=${stranger.uid}`, stranger.name)
  execFileSync('systemd-sysusers', { stdio: 'inherit' })
  call('systemctl', 'daemon-reload')
  call(join(checkout, 'bin/belladonna'), 'policy', 'install')
}

export function call(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
}

export async function cli(...args: readonly string[]): Promise<BellResult> {
  return await run([join(checkout, 'bin/belladonna'), ...args])
}

/** `bell` as root, or as this user of the group sudo. */
export async function bell(
  action: string,
  uid = 0,
  ...more: readonly string[]
): Promise<BellResult> {
  const groups = uid === 0 ? [] : [user.group]
  return await runAs([join(checkout, 'bin/bell'), action, ...more], { uid, groups })
}

/** `systemctl --user`, of the stranger's own manager. */
export async function strangerSystemctl(...args: readonly string[]): Promise<BellResult> {
  const { name, uid } = stranger
  call('loginctl', 'enable-linger', name)
  const place = `/run/user/${uid}`
  await until(() => existsSync(`${place}/systemd/private`), 60_000)
  const environment = ['env', `XDG_RUNTIME_DIR=${place}`, `HOME=/home/${name}`]
  return await runAs([...environment, 'systemctl', '--user', ...args], { uid, groups: [] })
}

/** What systemd says of a unit. */
export function property(name: string, of: string = unit): string {
  return call('systemctl', 'show', '--value', '-p', name, of).trim()
}

export function launcherPid(): number {
  return Number(property('MainPID'))
}

export function entries(): readonly Entry[] {
  return [...(openLogSource('', undefined)?.entries() ?? [])].map((text) => parseEntry(text))
}

/** All cgroups below the unit's, by their paths from there; the unit's own is the empty one. */
export function groupsBelow(path = ''): readonly string[] {
  if (!existsSync(unitCgroup + path)) return []
  const inner = readdirSync(unitCgroup + path, { withFileTypes: true })
  const deeper = inner.filter((entry) => entry.isDirectory())
  return [path, ...deeper.flatMap(({ name }) => groupsBelow(`${path}/${name}`))]
}

export function groupFile(path: string): string {
  return readFileSync(unitCgroup + path, 'utf8').trim()
}

/** Processes whose command line holds this. */
export function processesWith(words: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name) && Number(name) !== process.pid)
    .map(Number)
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').includes(words)
      } catch {
        return false
      }
    })
}

/** Until clients are let in again, and both services answer. */
export async function answering(): Promise<void> {
  await until(async () => (await bell('no.such')).status === 127, 120_000)
}
