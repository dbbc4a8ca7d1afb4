import { isWithin } from '../sandbox/root.ts'
import { quote } from '../toml/problem.ts'
import type { Fields, Report } from '../toml/reader.ts'
import type { ProfileSource } from './profile-source.ts'

// Sysctls of the IPC, UTS and pid namespaces, which each run has of its own (Documentation/admin-guide/sysctl/kernel.rst and
// vm.rst; pid_max since 6.14, memfd_noexec since 6.3). A name ending in "*" stands for all that begin so.
const ownSysctls = [
  '/proc/sys/fs/mqueue',
  '/proc/sys/kernel/auto_msgmni',
  '/proc/sys/kernel/domainname',
  '/proc/sys/kernel/hostname',
  '/proc/sys/kernel/msg*',
  '/proc/sys/kernel/ns_last_pid',
  '/proc/sys/kernel/pid_max',
  '/proc/sys/kernel/sem*',
  '/proc/sys/kernel/shm*',
  '/proc/sys/vm/memfd_noexec',
]

const networkSysctls = '/proc/sys/net'

/**
 * A write to a sysctl of the sandbox's own namespaces would succeed and change nothing that anybody sees (DESIGN.md section 6).
 * That holds for a directory with such sysctls in it too.
 */
export function checkNamespaces(
  report: Report,
  fields: Fields,
  { network, write }: Pick<ProfileSource, 'network' | 'write'>,
): void {
  const place = fields.place('write')
  for (const { path } of write) {
    if (network !== 'host' && isWithin(path, networkSysctls)) {
      report.add(
        place,
        'network_required',
        `${quote(path)} is the host's only with network = "host"`,
      )
    } else if (network !== 'host' && isWithin(networkSysctls, path)) {
      const message = `${quote(networkSysctls)} in ${quote(path)} is the host's only with network = "host"`
      report.add(place, 'network_required', message)
    }
    const own = ownSysctls.find((sysctl) => isOwn(path, sysctl) || isWithin(sysctl, path))
    if (own === undefined) continue
    const message = isOwn(path, own)
      ? `${quote(path)} is each sandbox's own: writing it would not change the host`
      : `${quote(path)} holds what is each sandbox's own, like ${quote(own)}: name the files that are meant`
    report.add(place, 'namespace_own', message)
  }
}

function isOwn(path: string, sysctl: string): boolean {
  return sysctl.endsWith('*') ? path.startsWith(sysctl.slice(0, -1)) : isWithin(path, sysctl)
}
