import { BelladonnaError } from '../error.ts'
import { parseBase64 } from '../json/base64.ts'
import { wirePlanFlag } from '../protocol/layout.ts'
import { filteredSockets } from '../sandbox/bus-place.ts'
import { capabilityMask } from '../sandbox/capabilities.ts'
import { parsePlan } from '../sandbox/plan.ts'
import type { Plan } from '../sandbox/plan.ts'
import { proxyArguments } from '../sandbox/proxy-arguments.ts'
import type { CompiledPolicy, CompiledProfile, CompiledProxy } from './compiled.ts'

/**
 * Holds the plans of each profile and its proxy, and the words that start that, against what the profile says of itself: a launcher
 * ends the services over a plan that is none, and status, entries and approvers are shown the profile, not the rest.
 *
 * @throws {BelladonnaError} `input_invalid`, naming the profile
 */
export function checkPlans({ profiles }: CompiledPolicy): void {
  for (const profile of profiles) {
    const { name, plan, proxy } = profile
    const why = mismatchOf(profile, planOf(name, plan)) ?? (proxy && proxyMismatch(profile, proxy))
    if (typeof why === 'string') throw refused(name, why)
  }
}

function planOf(name: string, plan: string): Plan {
  try {
    return parsePlan(parseBase64(plan))
  } catch (cause) {
    throw refused(name, 'it is none', cause)
  }
}

/** A proxy has no right that its run has, no relay, and no proxy of its own. */
function proxyMismatch(
  profile: CompiledProfile,
  { argv, plan }: CompiledProxy,
): string | undefined {
  const { capabilities, outputMaxBytes, flags } = planOf(`${profile.name}, of its proxy`, plan)
  if (capabilities !== 0n || outputMaxBytes !== 0 || flags !== wirePlanFlag.stdinNull) {
    return 'its proxy has more than a proxy needs'
  }
  const words = proxyArguments(filteredSockets(profile.sockets))
  const isSame = words.length === argv.length && words.every((word, at) => word === argv[at])
  return isSame ? undefined : 'its proxy is told other calls'
}

function mismatchOf(
  { caps, limits, output, proxy, stdin }: CompiledProfile,
  plan: Plan,
): string | undefined {
  const flags =
    (stdin === 'none' ? wirePlanFlag.stdinNull : 0) |
    (proxy === null ? 0 : wirePlanFlag.proxied) |
    (output === 'recorded' ? wirePlanFlag.recorded : 0)
  const kept = capabilityMask(caps.map(({ number }) => number))
  const checks: readonly (readonly [boolean, string])[] = [
    [plan.capabilities === kept, 'other capabilities'],
    [plan.outputMaxBytes === limits.output_bytes, 'another limit of output'],
    [plan.timeLimitMs === limits.time_ms, 'another limit of time'],
    [plan.memoryMaxBytes === limits.memory_bytes, 'another limit of memory'],
    [plan.pidsMax === limits.processes, 'another limit of processes'],
    [plan.flags === flags, 'another stdin, or a proxy or a recording that is not there'],
  ]
  return checks.find(([holds]) => !holds)?.[1]
}

function refused(name: string, why: string, cause?: unknown): BelladonnaError {
  return new BelladonnaError('input_invalid', `policy: the plan of profile ${name}: ${why}`, {
    cause,
  })
}
