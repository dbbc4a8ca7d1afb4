import type { CompileFacts } from './compile-facts.ts'
import { readCleanPath, resolveAt } from './compile-path.ts'
import { pathAccesses, pathContents, pathWhats } from './compiled.ts'
import type { CompiledPath } from './compiled.ts'
import { quote } from '../toml/problem.ts'
import { cgroupsProblem } from '../sandbox/plan-for-profile.ts'
import type { Place } from '../toml/problem.ts'
import { openFields, readTruth, readWord } from '../toml/reader.ts'
import type { Read, Report } from '../toml/reader.ts'

/** The members of a `path` parameter beside its name and `repeat`. */
export type PathKindMembers = Pick<
  CompiledPath,
  'root' | 'what' | 'access' | 'hard_links' | 'content'
>

// What each sandbox has of its own, or what is no place for files.
const neverRoots = /^\/(?:$|(?:dev|proc|sys|tmp)(?:\/|$))/

/**
 * Reads `path = { root, kind, access, hard_links, content }`. The root is a directory in which everybody may be allowed to write,
 * but nobody except root may put another one in its place.
 */
export function readPathKind(facts: CompileFacts): Read<PathKindMembers> {
  return (report, node) => {
    const fields = openFields(report, node, {
      required: ['root'],
      optional: ['kind', 'access', 'hard_links', 'content'],
    })
    const root = fields.read('root', readRoot(facts), null)
    const what = fields.read('kind', readWord(pathWhats), 'file')
    const access = fields.read('access', readWord(pathAccesses), what === 'new' ? 'write' : 'read')
    const hard_links = fields.read('hard_links', readTruth, false)
    const content = fields.read('content', readWord(pathContents), 'live')
    if (what === 'new' && access === 'read') {
      addMisfit(report, fields.place('access'), 'a new file is written: say "write", or nothing')
    }
    if (hard_links && what !== 'file') {
      addMisfit(report, fields.place('hard_links'), '"hard_links" goes with kind = "file" only')
    }
    if (content === 'bound' && (what !== 'file' || access === 'write')) {
      addMisfit(
        report,
        fields.place('content'),
        'content = "bound" goes with a file that is read only',
      )
    }
    return root && { root, what, access, hard_links, content }
  }
}

function readRoot(facts: CompileFacts): Read<PathKindMembers['root']> {
  return (report, node) => {
    const path = readCleanPath(report, node)
    const resolved = path && resolveAt(report, node, facts, path, 'profile')
    if (resolved === null) return null
    const { path: real, kind } = resolved.path
    if (kind !== 'directory')
      return report.add(node, 'path_invalid', `${quote(real)} is no directory`)
    if (resolved.holdsCgroups === true)
      return report.add(node, 'path_invalid', `${quote(real)} is no root: ${cgroupsProblem}`)
    if (!neverRoots.test(real)) return real
    return report.add(
      node,
      'path_invalid',
      `${quote(real)} is no root for a parameter: it is not the host's alone`,
    )
  }
}

function addMisfit(report: Report, place: Place, message: string): void {
  report.add(place, 'value_invalid', message)
}
