import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { CgroupPaths } from '../core/protocol/boot.ts'

/**
 * Paths for new cgroups below those that we are in; empty where the host does not have that hierarchy.
 *
 * Under systemd ours is the unit's, which `Delegate=yes` hands to us; by hand it is the caller's. On a hybrid host v2 has
 * no controllers, and those of v1 stand beside it.
 *
 * @see cgroups(7), proc_pid_cgroup(5)
 */
export function newCgroupPaths(
  mounts: string = readFileSync('/proc/self/mounts', 'utf8'),
  own: string = readFileSync('/proc/self/cgroup', 'utf8'),
): CgroupPaths {
  const name = `belladonna.${randomBytes(4).toString('hex')}`
  const mounted = mounts.split('\n').map((line) => line.split(' '))
  const places = own.split('\n').map((line) => line.split(':'))
  const pathIn = (type: string, controller: string): string => {
    const mount = mounted.find(
      ([, , kind, options = '']) =>
        kind === type && (controller === '' || options.split(',').includes(controller)),
    )?.[1]
    const place = places.find(([hierarchy, controllers = '']) =>
      controller === '' ? hierarchy === '0' : controllers.split(',').includes(controller),
    )
    if (mount === undefined || place === undefined) return ''
    return `${mount}${place.slice(2).join(':').replace(/\/$/, '')}/${name}`
  }
  return {
    unified: pathIn('cgroup2', ''),
    pids: pathIn('cgroup', 'pids'),
    memory: pathIn('cgroup', 'memory'),
  }
}
