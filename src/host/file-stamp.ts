import type { BigIntStats } from 'node:fs'
import type { FileStamp } from '../core/sandbox/command.ts'

/** What stat(2) says of a file, as far as it tells one file from another. */
export function stampOf({ dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): FileStamp {
  return { device: dev, inode: ino, size, mtimeNs, ctimeNs }
}

/** Whether it is still the same file, with what it held then. */
export function isSameFile(then: FileStamp, now: FileStamp): boolean {
  return (
    then.device === now.device &&
    then.inode === now.inode &&
    then.size === now.size &&
    then.mtimeNs === now.mtimeNs &&
    then.ctimeNs === now.ctimeNs
  )
}
