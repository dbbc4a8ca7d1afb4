import { isCleanPath } from '../identity.ts'
import type { CleanPath } from '../identity.ts'
import type { CompileFacts, PathFact, PathUse } from './compile-facts.ts'
import type { CompiledInterpreter } from './compiled.ts'
import { quote } from '../toml/problem.ts'
import type { Place } from '../toml/problem.ts'
import type { PathLink, ProfilePath } from './profile-source.ts'
import { readText } from '../toml/reader.ts'
import type { Read, Report } from '../toml/reader.ts'

/** A path with the links on the way to it. */
export type ResolvedPath = Readonly<{
  path: ProfilePath
  links: readonly PathLink[]
  interpreter?: CompiledInterpreter
  holdsCgroups?: true
  changeable?: string
}>

/** Asks the host about a path; a problem is reported at `place`. */
export function resolveAt(
  report: Report,
  place: Place,
  facts: CompileFacts,
  path: CleanPath,
  use: PathUse,
): ResolvedPath | null {
  const fact = facts.resolvePath(path, use)
  switch (fact.kind) {
    case 'found':
      if (fact.what === 'socket') {
        const way = 'name it as { path = … } under `sockets`'
        return report.add(place, 'path_invalid', `${quote(path)} is a Unix socket: ${way}`)
      }
      return resolvedOf(fact, fact.what)
    case 'absent':
    case 'awaited':
      return report.add(place, 'path_missing', `${quote(path)} does not exist`)
    case 'refused':
      return report.add(place, fact.code, `${quote(path)}: ${fact.message}`)
  }
}

function resolvedOf(
  { real, links, interpreter, holdsCgroups, changeable }: Extract<PathFact, { kind: 'found' }>,
  kind: ProfilePath['kind'],
): ResolvedPath {
  return {
    path: { path: real, kind },
    links,
    ...(interpreter === undefined ? {} : { interpreter }),
    ...(holdsCgroups === undefined ? {} : { holdsCgroups }),
    ...(changeable === undefined ? {} : { changeable }),
  }
}

/** Reads a string that is a clean absolute path. */
export const readCleanPath: Read<CleanPath> = (report, node) => {
  const text = readText(report, node)
  return text === null ? null : checkCleanPath(report, node, text)
}

/** The text as a clean absolute path, or a problem. */
export function checkCleanPath(report: Report, place: Place, text: string): CleanPath | null {
  if (isCleanPath(text)) return text
  const rule = 'an absolute path without empty, "." or ".." parts'
  return report.add(place, 'path_invalid', `expected ${rule}, not ${quote(text)}`)
}
