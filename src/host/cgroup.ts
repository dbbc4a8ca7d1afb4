import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'

/**
 * Path for a new cgroup v2 below the one that we are in, or the empty string where the host has no cgroup v2 mount.
 *
 * Under systemd ours is the unit's, which `Delegate=yes` hands to us; by hand it is the caller's.
 */
export function newCgroupPath(
  mounts: string = readFileSync('/proc/self/mounts', 'utf8'),
  own: string = readFileSync('/proc/self/cgroup', 'utf8'),
): string {
  const mount = mounts
    .split('\n')
    .map((line) => line.split(' '))
    .find((fields) => fields[2] === 'cgroup2')?.[1]
  const place = own.split('\n').find((line) => line.startsWith('0::/'))
  if (mount === undefined || place === undefined) return ''
  const below = place.slice('0::'.length).replace(/\/$/, '')
  return `${mount}${below}/belladonna.${randomBytes(4).toString('hex')}`
}
