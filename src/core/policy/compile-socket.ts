import type { CleanPath } from '../identity.ts'
import { profilePathProblem } from '../sandbox/plan-for-profile.ts'
import type { CompileFacts } from './compile-facts.ts'
import { quote } from '../toml/problem.ts'
import type { Place } from '../toml/problem.ts'
import type { PathLink, ProfilePath, ProfileSocket, ProfileSource } from './profile-source.ts'
import { openFields, readList, readText } from '../toml/reader.ts'
import type { Fields, Read, Report } from '../toml/reader.ts'
import { readCleanPath } from './compile-path.ts'

/** A socket as the file names it, with the links on the way to it. */
export type NamedSocket = ProfileSocket & Readonly<{ place: Place; links: readonly PathLink[] }>

const maxCalls = 256

/** Reads an element of `sockets`: `{ path = "/run/x.sock" }`. */
export function readSocket(facts: CompileFacts): Read<NamedSocket> {
  return (report, node) => {
    const fields = openFields(report, node, { required: ['path'], optional: ['dbus'] })
    if (fields.has('dbus')) {
      fields.read('dbus', readList(readText, maxCalls), [])
      const message = 'this version has no proxy that would let only these calls through'
      report.add(fields.place('dbus'), 'dbus_filter_unsupported', message)
    }
    const path = fields.read('path', readCleanPath, null)
    return path && resolveSocket(report, fields.place('path'), facts, path)
  }
}

/**
 * Refuses a profile that could leave its sandbox and does not say so.
 *
 * seccomp can allow Unix sockets or not, but cannot see which one a run connects to. So once it may connect to any, it
 * reaches each one that it sees: those in a directory of the profile as well.
 */
export function checkSockets(
  report: Report,
  fields: Fields,
  facts: CompileFacts,
  profile: ProfileSource,
  sockets: readonly NamedSocket[],
): void {
  if (sockets.length === 0 && !profile.escapable) return
  if (!profile.escapable) {
    for (const { place, path } of sockets) {
      const what = `whoever serves ${quote(path)} decides what this profile's runs can do`
      report.add(place, 'escapable_required', `${what}: it needs \`escapable = true\``)
    }
  }
  for (const [key, paths] of [['read', profile.read] as const, ['write', profile.write] as const]) {
    for (const path of paths) reportReachable(report, fields.place(key), facts, profile, path)
  }
}

function reportReachable(
  report: Report,
  place: Place,
  facts: CompileFacts,
  { escapable, sockets }: ProfileSource,
  { path, kind }: ProfilePath,
): void {
  if (kind !== 'directory') return
  const named = new Set<string>(sockets.map((socket) => socket.path))
  const { found, mayHold } = facts.findSockets(path)
  const others = found.filter((other) => !named.has(other))
  if (others.length === 0 && mayHold === null) return
  const shown = others.map(quote).join(', ')
  const holds = others.length > 0 ? `holds Unix sockets: ${shown}` : 'may hold Unix sockets'
  const why = mayHold === null ? '' : ` (${mayHold})`
  const message = `${quote(path)} ${holds}${why}; a run that may connect reaches each of them`
  if (escapable) report.warn(place, 'sockets_reachable', message)
  else report.add(place, 'socket_reachable', `${message}: it needs \`escapable = true\``)
}

function resolveSocket(
  report: Report,
  place: Place,
  facts: CompileFacts,
  path: CleanPath,
): NamedSocket | null {
  const problem = profilePathProblem(path)
  if (problem !== undefined) return report.add(place, 'path_invalid', problem)
  const fact = facts.resolvePath(path, 'socket')
  switch (fact.kind) {
    case 'found':
      if (fact.what === 'socket') return { path: fact.real, links: fact.links, place }
      return report.add(place, 'path_invalid', `${quote(path)} is no Unix socket`)
    case 'awaited':
      report.warn(place, 'socket_absent', `${quote(path)} is not there now`)
      return { path: fact.real, links: fact.links, place }
    case 'absent':
      return report.add(
        place,
        'path_missing',
        `${quote(path)} cannot come to be: a file is in the way`,
      )
    case 'refused':
      return report.add(place, fact.code, `${quote(path)}: ${fact.message}`)
  }
}
