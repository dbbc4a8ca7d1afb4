import { lstatSync, readdirSync, readFileSync } from 'node:fs'

type Candidate = Readonly<{ pid: number; parent: number }>

/**
 * The launcher that was started with this boot file, or undefined when none is up.
 *
 * No file says which process it is: after a crash that would name somebody else's (ABUSE C26). Its command line does; spares
 * and seats have the same one and are its children.
 *
 * Trusted: the file's owner, who is root or runs a bridge without privileges. All four uids of the process are theirs, which
 * nobody else's can be.
 */
export function findLauncher(bootFile: string): number | undefined {
  const owner = lstatSync(bootFile, { throwIfNoEntry: false })?.uid
  if (owner === undefined) return undefined
  const candidates = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name): readonly Candidate[] => {
      const [, argument] = readText(`/proc/${name}/cmdline`).split('\0')
      if (argument !== bootFile) return []
      const status = readText(`/proc/${name}/status`)
      const ids = /^Uid:\t(.*)$/m.exec(status)?.[1]?.split('\t') ?? []
      const isTheirs = ids.length === 4 && ids.every((id) => id === `${owner}`)
      const parent = Number(/^PPid:\t([0-9]+)$/m.exec(status)?.[1] ?? 0)
      return isTheirs ? [{ pid: Number(name), parent }] : []
    })
  return candidates.find(({ parent }) => candidates.every(({ pid }) => pid !== parent))?.pid
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // it has just ended, or may not be looked at
  }
}
