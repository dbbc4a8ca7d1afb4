import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmdirSync, statSync } from 'node:fs'
import type { CgroupPaths } from '../core/protocol/boot.ts'

/**
 * The cgroups that we are in; empty where the host does not have that hierarchy.
 *
 * Under systemd ours is the unit's, which `Delegate=yes` hands to us; by hand it is the caller's. On a hybrid host v2 has
 * no controllers, and those of v1 stand beside it.
 *
 * @see cgroups(7), proc_pid_cgroup(5)
 */
export function ownCgroups(
  mounts: string = readFileSync('/proc/self/mounts', 'utf8'),
  own: string = readFileSync('/proc/self/cgroup', 'utf8'),
): CgroupPaths {
  return cgroupsAt(mounts, own, null)
}

/** The cgroups of this path in the hierarchies that `ownCgroups` finds us in. */
export function cgroupsBelow(path: string): CgroupPaths {
  const read = (name: string): string => readFileSync(`/proc/self/${name}`, 'utf8')
  return cgroupsAt(read('mounts'), read('cgroup'), path)
}

function cgroupsAt(mounts: string, own: string, path: string | null): CgroupPaths {
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
    return `${mount}${(path ?? place.slice(2).join(':')).replace(/\/$/, '')}`
  }
  return {
    unified: pathIn('cgroup2', ''),
    pids: pathIn('cgroup', 'pids'),
    memory: pathIn('cgroup', 'memory'),
  }
}

/**
 * Paths for new cgroups below those.
 *
 * The name says whose they are: the bridge with this run directory, started by this process, which becomes the launcher.
 */
export function newCgroupPaths(parents: CgroupPaths, runDirectory: string): CgroupPaths {
  const name = `${markOf(runDirectory)}${process.pid}.${randomBytes(2).toString('hex')}`
  const below = (parent: string): string => (parent === '' ? '' : `${parent}/${name}`)
  const { unified, pids, memory } = parents
  return { unified: below(unified), pids: below(pids), memory: below(memory) }
}

/**
 * Removes what launchers of this run directory left behind when they were killed: by its name one of theirs, of a process
 * that is gone, and empty. A cgroup that still has a process in it cannot be removed, so nothing that lives is touched.
 *
 * Trusted: the names below a directory of root's, or of the unit that is ours. Who could make them could at most have an
 * empty cgroup of their own removed.
 */
export function removeLeftCgroups(parents: CgroupPaths, runDirectory: string): void {
  const mark = markOf(runDirectory)
  for (const parent of Object.values(parents)) {
    if (parent === '' || !existsSync(parent)) continue
    for (const name of readdirSync(parent)) {
      if (name.startsWith(mark) && isOver(name.slice(mark.length)))
        removeWithInner(`${parent}/${name}`)
    }
  }
}

/** By device and inode, so that two roots that are called the same in two mount namespaces are two. */
function markOf(runDirectory: string): string {
  const { dev, ino } = statSync(runDirectory, { bigint: true })
  const hash = createHash('sha256').update(`${dev}:${ino}`).digest('hex')
  return `belladonna.${hash.slice(0, 12)}.`
}

/** Whether the process in `PID.RANDOM` is gone. Ours has not made one yet, so one with our number is an older process's. */
function isOver(rest: string): boolean {
  const pid = /^([0-9]{1,10})\.[0-9a-f]{4}$/.exec(rest)?.[1]
  if (pid === undefined) return false
  return Number(pid) === process.pid || !existsSync(`/proc/${pid}`)
}

/** What native/launcher/cgroup.c makes below its own: runs, seats in v1, its own leaf in v2. There is no third level. */
function removeWithInner(path: string): void {
  try {
    const inner = readdirSync(path).filter((name) =>
      /^(?:(?:run|seat)-[0-9]+|launcher)$/.test(name),
    )
    for (const name of inner) rmdirSync(`${path}/${name}`)
    rmdirSync(path)
  } catch {
    // In use, or somebody else was faster: the next start tries again.
  }
}
