import { readdirSync, readFileSync } from 'node:fs'

type Candidate = Readonly<{ pid: number; parent: number }>

/**
 * The launcher that was started with this boot file, or undefined when none is up.
 *
 * No file says which one it is: after a crash that would name somebody else. Its command line does; spares and seats have the
 * same one and are its children.
 *
 * Trusted: all four uids of the process are ours (root's, but for a bridge without privileges), which nobody else can have.
 */
export function findLauncher(bootFile: string): number | undefined {
  const own = `${process.geteuid?.() ?? 0}`
  const candidates = readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .flatMap((name): readonly Candidate[] => {
      const [, argument] = readText(`/proc/${name}/cmdline`).split('\0')
      if (argument !== bootFile) return []
      const status = readText(`/proc/${name}/status`)
      const ids = /^Uid:\t(.*)$/m.exec(status)?.[1]?.split('\t') ?? []
      const isOurs = ids.length === 4 && ids.every((id) => id === own)
      const parent = Number(/^PPid:\t([0-9]+)$/m.exec(status)?.[1] ?? 0)
      return isOurs ? [{ pid: Number(name), parent }] : []
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
