import type { CleanPath } from '../identity.ts'
import { isWithin } from '../sandbox/root.ts'
import type { CompiledParameter } from './compiled.ts'
import type { ProfileSource } from './profile-source.ts'

/** Something by which a run can make the host do what it likes, whatever else its sandbox holds. */
export type RootWay = Readonly<{
  /** The capability, or the path that the run may write. */
  by: string
  why: string
}>

const started = 'the kernel starts what it names, as root'
const accounts = 'it says who is root'
const services = 'what is put there is run as root'
const programs = 'root runs programs and loads libraries from there'

/** Where the host obeys what is written. What lies below such a place counts as it does, and so does a directory above it. */
const obeyed: readonly (readonly [path: string, why: string])[] = [
  ...['core_pattern', 'modprobe', 'hotplug', 'poweroff_cmd'].map(
    (name) => [`/proc/sys/kernel/${name}`, started] as const,
  ),
  ['/proc/sys/fs/binfmt_misc', 'it says which program runs a file, setuid ones too'],
  ['/proc/sysrq-trigger', 'it kills every process, or stops the host'],
  ['/sys/kernel/uevent_helper', started],
  ['/sys/fs/cgroup', 'its release_agent is started as root, and limits of runs are there'],
  ['/sys/kernel/debug', 'it changes the running kernel'],
  ['/sys/kernel/tracing', 'it changes the running kernel'],
  ['/sys/kernel/security', "it changes the host's security modules"],
  ['/sys/firmware', 'it says what the machine starts'],
  ['/sys/module', 'it changes parameters of the running kernel'],
  ...['passwd', 'shadow', 'group', 'gshadow', 'sudoers', 'sudoers.d', 'doas.conf'].map(
    (name) => [`/etc/${name}`, accounts] as const,
  ),
  ...['pam.d', 'pam.conf', 'security', 'ssh', 'polkit-1', 'nsswitch.conf', 'krb5.conf'].map(
    (name) => [`/etc/${name}`, 'it says whom the host lets in'] as const,
  ),
  ...['systemd', 'init.d', 'rc.local', 'inittab', 'udev', 'dbus-1', 'default', 'network'].map(
    (name) => [`/etc/${name}`, services] as const,
  ),
  ...['crontab', 'anacrontab', 'cron.d', 'cron.hourly', 'cron.daily', 'cron.weekly'].map(
    (name) => [`/etc/${name}`, services] as const,
  ),
  ...['cron.monthly', 'logrotate.d', 'logrotate.conf', 'apt', 'dpkg', 'kernel'].map(
    (name) => [`/etc/${name}`, services] as const,
  ),
  ...['modprobe.d', 'modules-load.d', 'modules', 'sysctl.d', 'sysctl.conf', 'binfmt.d'].map(
    (name) => [`/etc/${name}`, 'it says what the kernel loads, or how it works'] as const,
  ),
  ...['ld.so.preload', 'ld.so.conf', 'ld.so.conf.d', 'ld.so.cache', 'alternatives'].map(
    (name) => [`/etc/${name}`, programs] as const,
  ),
  ...['profile', 'profile.d', 'bash.bashrc', 'environment', 'zsh'].map(
    (name) => [`/etc/${name}`, "root's shells read it"] as const,
  ),
  ['/etc/belladonna', 'it is what the bridge obeys'],
  ['/var/lib/belladonna', 'it is what the bridge obeys'],
  ['/run/belladonna', 'it is what the bridge obeys'],
  ...['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libexec', 'local'].map(
    (name) => [`/usr/${name}`, programs] as const,
  ),
  ...['/bin', '/sbin', '/lib', '/lib64'].map((path) => [path, programs] as const),
  ['/boot', 'the machine starts from it'],
  ['/root', "root's shells and keys are there"],
  ['/run/systemd', services],
  ['/run/udev', services],
  ['/var/spool/cron', services],
  ['/var/lib/dpkg', 'scripts of packages there are run as root'],
  ['/dev/mem', "it is the machine's memory"],
  ['/dev/port', "it is the machine's ports"],
  ['/dev/uinput', 'it types for whoever is at the console'],
]

/** What is as good as root wherever it is kept, should no other wall hold. */
const capabilities: ReadonlyMap<string, string> = new Map([
  ['CAP_SYS_ADMIN', 'it is a hundred rights of root at once'],
  ['CAP_SYS_MODULE', 'it loads code into the kernel'],
  ['CAP_SYS_RAWIO', "it reaches the machine's memory and its disks, past all files"],
  ['CAP_SYS_PTRACE', 'it reads and changes processes of root'],
  ['CAP_BPF', 'it loads programs into the kernel'],
  ['CAP_MAC_ADMIN', "it changes the host's security modules"],
])

/**
 * By what a run of this profile is as good as root: a warning to whoever writes the policy and a line of `status`, no error. The
 * list is not complete, and cannot be: a service may obey a file anywhere.
 *
 * @param roots of parameters by which the profile's actions write
 */
export function rootWays(
  { caps, write }: Pick<ProfileSource, 'caps' | 'write'>,
  roots: readonly CleanPath[] = [],
): readonly RootWay[] {
  const kept = new Set(caps.map(({ name }) => name))
  const paths = [...write.map(({ path }) => path), ...roots]
  const byCapability = [...kept].flatMap((by) => {
    const why = capabilities.get(by)
    return why === undefined ? [] : [{ by, why }]
  })
  const byPath = [...new Set(paths)].flatMap((path) => {
    const [, why] = obeyed.find(([place]) => isWithin(path, place) || isWithin(place, path)) ?? []
    return why === undefined ? [] : [{ by: path, why }]
  })
  return [...byCapability, ...withAnyFile(kept, paths), ...byPath]
}

/** Rights over files need files. */
function withAnyFile(kept: ReadonlySet<string>, paths: readonly string[]): readonly RootWay[] {
  const homes = paths.some((path) => isWithin(path, '/home') || isWithin('/home', path))
  return [
    ...(kept.has('CAP_SETFCAP') && paths.length > 0
      ? [{ by: 'CAP_SETFCAP', why: 'a file that it may write can be given every capability' }]
      : []),
    ...(kept.has('CAP_DAC_OVERRIDE') && homes
      ? [{ by: 'CAP_DAC_OVERRIDE', why: "it writes everybody's keys and shells in /home" }]
      : []),
  ]
}

/** The roots in which parameters name what is written. */
export function writtenRoots(params: readonly CompiledParameter[]): readonly CleanPath[] {
  return params.flatMap((item) =>
    item.kind === 'path' && item.access === 'write' ? item.root : [],
  )
}
