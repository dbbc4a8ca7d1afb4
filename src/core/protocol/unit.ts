import { isUnitName } from '../policy/names.ts'

/**
 * The unit of the system manager that a process runs in, by the text of its /proc/PID/cgroup, or null.
 *
 * Strict, since it grants: a line that is not of the kernel's form, or two hierarchies that say different things, are nobody.
 * systemd writes into `0::`, into `name=systemd`, or, on hybrid hosts, into both; a hierarchy that it does not use has
 * everybody in `/`.
 *
 * @param text as the kernel wrote it; empty where nobody vouches for it
 * @see spec/wire.md, "Units"; cgroups(7), "/proc files"
 */
export function findUnit(text: Uint8Array): string | null {
  const lines = decodeLines(text)
  if (lines === null) return null
  const managed = new Set<string>()
  const seen = new Set<string>()
  for (const line of lines) {
    const [, hierarchy = '', controllers = '', path = ''] =
      /^(0|[1-9][0-9]{0,9}):([^:]*):(\/.*)$/s.exec(line) ?? []
    if (path === '' || seen.has(hierarchy)) return null
    seen.add(hierarchy)
    const isSystemd = hierarchy === '0' ? controllers === '' : controllers === 'name=systemd'
    if (isSystemd && path !== '/') managed.add(path)
  }
  const [path, ...others] = managed
  return path === undefined || others.length > 0 ? null : unitOfPath(path)
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The kernel lets no cgroup have a newline in its name, so a line is a line. */
function decodeLines(text: Uint8Array): readonly string[] | null {
  try {
    const whole = utf8.decode(text)
    return whole.endsWith('\n') && !whole.includes('\0') ? whole.slice(0, -1).split('\n') : null
  } catch {
    return null
  }
}

/** What another manager below a unit would make, and so what nobody may have below a unit that is granted anything. */
const unitSuffix = /\.(?:service|scope|slice|socket|mount|swap|automount|path|timer|target|device)$/

/**
 * Slices, one within the other as their names say, then the unit; below it only what that unit made for itself.
 *
 * Who may make cgroups below a unit, a user's manager or a container, can give them any name: so whatever looks like a
 * unit there ends the search without one, and below `user@UID.service` everything does.
 */
function unitOfPath(path: string): string | null {
  const parts = path.slice(1).split('/')
  if (parts.some((part) => part === '' || part === '.' || part === '..')) return null
  if (path.endsWith(' (deleted)')) return null
  const names = parts.map(unescapeName)
  const depth = countSlices(names)
  const [unit, ...below] = names.slice(depth)
  if (depth === 0 || unit === undefined || !isUnitName(unit)) return null
  if (below.length > 0 && /^user@[^/]*\.service$/.test(unit)) return null
  return below.some((name) => unitSuffix.test(name)) ? null : unit
}

/** systemd puts "_" before a name that could be taken for a file of the kernel's, as `_cpu.service` (cg_escape). */
function unescapeName(name: string): string {
  return name.startsWith('_') ? name.slice(1) : name
}

/** How many of the first names are slices, each in the one that its name says: `a.slice`, then `a-b.slice`. */
function countSlices(names: readonly string[]): number {
  let parent = ''
  let depth = 0
  for (const name of names) {
    const [, stem = '', last = ''] = /^((?:.*-)?([A-Za-z0-9:_.\\@]+))\.slice$/.exec(name) ?? []
    if (stem === '' || stem !== (parent === '' ? last : `${parent}-${last}`)) break
    parent = stem
    depth += 1
  }
  return depth
}
