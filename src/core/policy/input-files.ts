import { boundOnce, boundPath } from './granted-path.ts'
import type { GrantedPath } from './granted-path.ts'

/** The most that a run's `content = "bound"` files may have together, in bytes. */
export const maxContentBytes = 1_048_576

/**
 * Which thing of the host a bound path was: stat(2)'s device and inode, and of a file of which the run gets a copy the size
 * of the copy and its SHA-256, 64 hexadecimal digits.
 */
export type FileIdentity = Readonly<{
  device: bigint
  inode: bigint
  content: Readonly<{ sha256: string; size: number }> | null
}>

/** Whether `files` are one for each path that is bound, with a hash where the policy wants one and nowhere else. */
export function bindsFiles(paths: readonly GrantedPath[], files: readonly FileIdentity[]): boolean {
  const bound = boundOnce(paths)
  return (
    bound.length === files.length &&
    bound.every(({ content }, index) => (content === 'bound') === (files[index]?.content !== null))
  )
}

/** A member of `inputs` of a resolved action. Device and inode may be beyond what a number of JSON holds exactly. */
export type ResolvedFile = Readonly<{
  device: string
  inode: string
  kind: GrantedPath['what']
  sha256: string | null
  size: number | null
}>

/**
 * `inputs` of a resolved action: by its path, which thing each is. Of a file that is not there yet it is the directory.
 *
 * @param files as `bindsFiles` wants them
 * @see spec/resolved-action.md, "Inputs"
 */
export function resolvedFiles(
  paths: readonly GrantedPath[],
  files: readonly FileIdentity[],
): Readonly<Record<string, ResolvedFile>> {
  const bound = boundOnce(paths)
  return Object.fromEntries(
    files.flatMap(({ device, inode, content }, index) => {
      const granted = bound[index]
      if (granted === undefined) return []
      const { sha256, size } = content ?? { sha256: null, size: null }
      const numbers = { device: String(device), inode: String(inode) }
      return [[boundPath(granted), { ...numbers, kind: granted.what, sha256, size }] as const]
    }),
  )
}
