import { formatBase64 } from '../json/base64.ts'
import { filteredSockets } from '../sandbox/bus-place.ts'
import { cleanPath } from '../sandbox/fixed-mounts.ts'
import { proxyArguments } from '../sandbox/proxy-arguments.ts'
import { syscallGroups } from '../sandbox/syscall-sets.ts'
import type { CompileFacts } from './compile-facts.ts'
import type { ResolvedPath } from './compile-path.ts'
import type { CompiledProxy } from './compiled.ts'
import { quote } from '../toml/problem.ts'
import type { Place } from '../toml/problem.ts'
import type { ProfileSource } from './profile-source.ts'
import { compareText } from '../toml/reader.ts'
import type { Report } from '../toml/reader.ts'

const proxyProgram = cleanPath('/usr/bin/xdg-dbus-proxy')
const proxyPackage = 'xdg-dbus-proxy'

/** For the proxy of one run. What a client makes it keep is bounded by this and not by the run's own limit. */
const proxyLimits = { timeMs: 1000, memoryBytes: 64 * 2 ** 20, processes: 16, outputBytes: 0 }

/** So that it fits into a frame beside the plans; all of it is ASCII. */
const maxArgumentBytes = 65_536

/**
 * What filters the sockets of a profile: null if none of them is to be filtered, or if it cannot be (a problem).
 *
 * @param resolveLibraries what a dynamically linked program needs, as each profile has it
 */
export function compileProxy(
  report: Report,
  place: Place,
  facts: CompileFacts,
  profile: ProfileSource,
  resolveLibraries: () => readonly ResolvedPath[],
): CompiledProxy | null {
  const sockets = filteredSockets(profile.sockets)
  if (sockets.length === 0) return null
  const fact = facts.resolvePath(proxyProgram, 'command')
  if (fact.kind === 'refused') return report.add(place, fact.code, fact.message)
  const missing = (why: string): null => {
    const what = `what filters D-Bus, ${quote(proxyProgram)}, ${why}`
    return report.add(place, 'dbus_proxy_missing', what)
  }
  if (fact.kind !== 'found') return missing(`does not exist: install the package ${proxyPackage}`)
  if (fact.changeable !== undefined) return missing(fact.changeable)
  if (fact.interpreter !== undefined) return missing('is a script')
  const argv = proxyArguments(sockets)
  if (argv.join('').length > maxArgumentBytes) {
    return report.add(place, 'plan_invalid', 'more calls by D-Bus than one proxy can be told of')
  }
  const libraries = resolveLibraries()
  const links = [...libraries.flatMap((path) => path.links), ...fact.links]
  const plan = facts.compileProxyPlan({
    ...{ name: profile.name, network: 'none', tcp: { connect: null, bind: null } },
    read: libraries.map(({ path }) => path).toSorted((a, b) => compareText(a.path, b.path)),
    write: [],
    sockets: sockets.map(({ path }) => ({ path, dbus: null })),
    escapable: true,
    links: [...new Map(links.map((link) => [link.path, link])).values()].toSorted((a, b) =>
      compareText(a.path, b.path),
    ),
    ...{ stdin: 'none', output: 'pass', caps: [], observe: 'off', limits: proxyLimits },
    syscalls: proxyCalls(),
  })
  return { executable: fact.real, argv, plan: formatBase64(plan) }
}

/** All that `basic` has, and sockets; sorted, as in a profile that lists them. */
function proxyCalls(): readonly string[] {
  const groups = ['process', 'file', 'network']
  return [...syscallGroups]
    .flatMap(([name, calls]) => (groups.includes(name) ? calls : []))
    .toSorted(compareText)
}
