import { isCleanPath } from '../identity.ts'
import type { CleanPath } from '../identity.ts'
import { isWithin, valueAlphabet } from './code-points.ts'
import type { CompiledPath } from './compiled.ts'

/** What a value of a `path` parameter names, and what the run may do with it. */
export type GrantedPath = Readonly<{
  /** Its name: what a refusal tells of. */
  parameter: string
  path: CleanPath
  what: CompiledPath['what']
  access: CompiledPath['access']
  /** A file may have other names, perhaps outside of the root. */
  hard_links: boolean
  /** `bound`: it gets a copy, of which the resolved action has the hash. */
  content: CompiledPath['content']
}>

/** Bounds of a value: bytes of UTF-8 in all and in one part, and parts. Each part is a directory that a run makes. */
export const pathBounds = { bytes: 1024, partBytes: 255, parts: 16 } as const

const alphabet = valueAlphabet({ slash: true, space: true })
const encoder = new TextEncoder()

/**
 * Whether a value names something below a root: relative, with no empty, `.` or `..` part, nothing that nobody sees, and
 * not beginning with `-`.
 */
export function isPathBelow(value: string): boolean {
  if (value.length > pathBounds.bytes || value.startsWith('-') || !isWithin(alphabet, value)) {
    return false
  }
  const parts = value.split('/')
  return (
    parts.length <= pathBounds.parts &&
    encoder.encode(value).length <= pathBounds.bytes &&
    parts.every((part) => part !== '' && part !== '.' && part !== '..') &&
    parts.every((part) => encoder.encode(part).length <= pathBounds.partBytes)
  )
}

/** The argument that a value becomes. */
export function pathOfValue({ root }: CompiledPath, value: string): string {
  return `${root}/${value}`
}

/** What the arguments of a `path` parameter let the run see. */
export function grantedPaths(
  { name, what, access, hard_links, content }: CompiledPath,
  paths: readonly string[],
): readonly GrantedPath[] {
  const rights = { what, access, hard_links, content }
  return paths.filter(isCleanPath).map((path) => ({ parameter: name, path, ...rights }))
}

/** What is bound into the sandbox: the thing itself, or for a new file its directory. */
export function boundPath({ path, what }: GrantedPath): CleanPath {
  const directory = path.slice(0, path.lastIndexOf('/'))
  return what === 'new' && isCleanPath(directory) ? directory : path
}

/** Those that are bound, each once, in their order: two new files of one directory need it once. */
export function boundOnce(paths: readonly GrantedPath[]): readonly GrantedPath[] {
  const names = paths.map(boundPath)
  return paths.filter((_, index) => names.findIndex((name) => name === names[index]) === index)
}

/**
 * Whether one lies within another, or they name the same thing for other uses. Then the rights of one would be those of
 * the other too, and what is laid over the inner one could be moved away by who owns the outer one.
 */
export function doOverlap(paths: readonly GrantedPath[]): boolean {
  // Two new files of one directory need it once.
  const bound = [...new Map(paths.map((granted) => [keyOf(granted), boundPath(granted)])).values()]
  return bound.some((inner, index) =>
    bound.some((outer, other) => index !== other && `${inner}/`.startsWith(`${outer}/`)),
  )
}

function keyOf(granted: GrantedPath): string {
  const { what, access, hard_links, content } = granted
  return JSON.stringify([boundPath(granted), what, access, hard_links, content])
}
