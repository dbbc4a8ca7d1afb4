import type { Permit } from './decide.ts'

/** What only the executor can know of a program: it alone may read every one. */
export type ExecutableDigests = Readonly<{
  executableSha256: string
  /** Null where the executable is no script. */
  interpreterSha256: string | null
  /** Null where no socket is filtered. */
  proxySha256: string | null
}>

/**
 * Whether the resolved action follows from what broker and executor both know, once the digests of its program are known
 * too. Not where the executor looks at something for this run alone, or counts what the broker does not.
 */
export function isForeseeable({ paths, changes, profile }: Permit, inputCount: number): boolean {
  return profile.proxy === null && paths.length === 0 && inputCount === 0 && !changes.isCounted
}

/** Whether these are the digests of one program. */
export function isSameProgram(one: ExecutableDigests, other: ExecutableDigests): boolean {
  return (
    one.executableSha256 === other.executableSha256 &&
    one.interpreterSha256 === other.interpreterSha256
  )
}
