import type { CleanPath } from '../identity.ts'
import { profilePathProblem } from '../sandbox/plan-for-profile.ts'
import { isWithin } from '../sandbox/root.ts'
import type { CompileFacts } from './compile-facts.ts'
import { quote } from '../toml/problem.ts'
import type { Place } from '../toml/problem.ts'
import type { PathLink, ProfilePath, ProfileSocket, ProfileSource } from './profile-source.ts'
import { formatDbusCall, handsOver, readDbusCall } from './dbus-call.ts'
import type { DbusCall } from './dbus-call.ts'
import { compareText, openFields, readList } from '../toml/reader.ts'
import type { Fields, Read, Report } from '../toml/reader.ts'
import { readCleanPath } from './compile-path.ts'

/** A socket as the file names it, with the links on the way to it. */
export type NamedSocket = ProfileSocket & Readonly<{ place: Place; links: readonly PathLink[] }>

const maxCalls = 32

/** Reads an element of `sockets`: `{ path = "/run/x.sock" }`, with the calls that `dbus` lets through. */
export function readSocket(facts: CompileFacts): Read<NamedSocket> {
  return (report, node) => {
    const fields = openFields(report, node, { required: ['path'], optional: ['dbus'] })
    const read = fields.read('dbus', readList(readDbusCall, maxCalls), null)
    const calls = fields.has('dbus') ? (read ?? []) : null // unreadable: a problem, and no reason for another one
    if (read?.length === 0) {
      report.add(fields.place('dbus'), 'value_invalid', 'an empty list would let nothing through')
    }
    const path = fields.read('path', readCleanPath, null)
    const found = path && resolveSocket(report, fields.place('path'), facts, path)
    return found && { ...found, dbus: calls && sortCalls(report, fields.place('dbus'), calls) }
  }
}

function sortCalls(report: Report, place: Place, calls: readonly DbusCall[]): readonly DbusCall[] {
  const once = new Map(calls.map((call) => [formatDbusCall(call), call]))
  if (once.size < calls.length) report.add(place, 'duplicate', 'a call stands in this list twice')
  return [...once].sort(([a], [b]) => compareText(a, b)).map(([, call]) => call)
}

/** Sorted. One that is named twice must be filtered by one list, or not at all. */
export function onceByPath(
  report: Report,
  sockets: readonly NamedSocket[],
): readonly ProfileSocket[] {
  const once = new Map<string, ProfileSocket>()
  for (const { path, dbus, place } of sockets) {
    const known = once.get(path)
    if (known !== undefined && (dbus !== null || known.dbus !== null)) {
      report.add(place, 'duplicate', `${quote(path)} is named twice, with a list of calls`)
    }
    once.set(path, { path, dbus })
  }
  return [...once.values()].sort((a, b) => compareText(a.path, b.path))
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
  for (const socket of sockets) {
    if (!profile.escapable) reportEscape(report, socket)
    if (socket.dbus !== null) reportUnfiltered(report, profile, socket)
  }
  if (!profile.escapable && profile.network === 'host') {
    const message =
      'with the network of the host a run that may connect reaches abstract sockets too'
    report.add(fields.place('network'), 'escapable_required', `${message}: ${needsEscapable}`)
  }
  for (const [key, paths] of [['read', profile.read] as const, ['write', profile.write] as const]) {
    for (const path of paths) reportReachable(report, fields.place(key), facts, profile, path)
  }
}

const needsEscapable = 'it needs `escapable = true`'

function reportEscape(report: Report, { place, path, dbus }: NamedSocket): void {
  const handed = dbus?.find(handsOver)
  if (handed !== undefined) {
    const what = `${quote(formatDbusCall(handed))} lets its caller do what root can`
    report.add(place, 'escapable_required', `${what}: ${needsEscapable}`)
  } else if (dbus === null) {
    const what = `whoever serves ${quote(path)} decides what this profile's runs can do`
    report.add(place, 'escapable_required', `${what}: ${needsEscapable}`)
  }
}

/** In a directory that a run sees the socket itself would be there, past any proxy. */
function reportUnfiltered(
  report: Report,
  { read, write }: ProfileSource,
  { place, path }: NamedSocket,
): void {
  const around = [...read, ...write].find((entry) => isWithin(path, entry.path))
  if (around === undefined) return
  const message = `${quote(around.path)} shows ${quote(path)} itself, without the filter`
  report.add(place, 'socket_reachable', message)
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
  else report.add(place, 'socket_reachable', `${message}: ${needsEscapable}`)
}

function resolveSocket(
  report: Report,
  place: Place,
  facts: CompileFacts,
  path: CleanPath,
): Omit<NamedSocket, 'dbus'> | null {
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
