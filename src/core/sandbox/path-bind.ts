import { boundPath } from '../policy/granted-path.ts'
import type { CleanPath } from '../identity.ts'
import type { GrantedPath } from '../policy/granted-path.ts'
import type { Bind, FileStamp } from './command.ts'
import { landlockChange, landlockFs } from './landlock.ts'

/** A copy of a file, which nobody can change. */
export type FileCopy = Readonly<{ path: CleanPath; stamp: FileStamp }>

/**
 * What a run sees of the host for a path that a parameter names. Others may write it meanwhile, so only device and inode
 * tell whether it is still the same.
 */
export function bindForPath(
  granted: GrantedPath,
  { device, inode }: Pick<FileStamp, 'device' | 'inode'>,
): Bind {
  const path = boundPath(granted)
  return {
    source: path,
    target: path,
    stamp: { device, inode, size: 0n, mtimeNs: 0n, ctimeNs: 0n },
    writable: granted.access === 'write',
    executable: false,
    isLive: true,
    isSingle: granted.what === 'file' && !granted.hard_links,
    access: rightsTo(granted),
  }
}

/** The same, for a file of which the run gets a copy in its place. */
export function bindForCopy(granted: GrantedPath, { path, stamp }: FileCopy): Bind {
  return {
    ...bindForPath(granted, stamp),
    ...{ source: path, stamp, isLive: false, isSingle: false },
  }
}

/** Landlock's rights beyond reading. In the directory of a new file no others are made but files. */
function rightsTo({ what, access }: GrantedPath): bigint {
  if (access === 'read') return 0n
  const file = landlockFs.writeFile | landlockFs.truncate
  switch (what) {
    case 'file':
      return file
    case 'directory':
      return landlockChange
    case 'new':
      return file | landlockFs.makeReg | landlockFs.removeFile
  }
}
