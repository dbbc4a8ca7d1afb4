import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Takes away the cgroups of a launcher that SIGKILL ended and that could not do so itself. Only for those: of every other
 * end a test must see what is left.
 *
 * @param bootFile names the cgroup; see spec/plan.md, "Boot file"
 */
export function sweepCgroup(bootFile: string): void {
  const boot = readFileSync(bootFile, 'latin1')
  for (const [path] of boot.matchAll(/\/[^\0]*?\/belladonna\.[0-9a-f]{12}\.[0-9]+\.[0-9a-f]{4}/g)) {
    if (!existsSync(path)) continue
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) rmdirSync(join(path, entry.name))
    }
    rmdirSync(path)
  }
}
