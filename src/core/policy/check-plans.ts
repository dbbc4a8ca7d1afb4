import { BelladonnaError } from '../error.ts'
import { parseBase64 } from '../json/base64.ts'
import { capabilityMask } from '../sandbox/capabilities.ts'
import { parsePlan } from '../sandbox/plan.ts'
import type { Plan } from '../sandbox/plan.ts'
import type { CompiledPolicy, CompiledProfile } from './compiled.ts'

/**
 * Holds each profile's plan against what the profile says of itself: a launcher ends the services over a plan that is none, and
 * status, entries and approvers are shown the profile, not the plan.
 *
 * @throws {BelladonnaError} `input_invalid`, naming the profile
 */
export function checkPlans({ profiles }: CompiledPolicy): void {
  for (const profile of profiles) {
    const why = mismatchOf(profile, planOf(profile))
    if (why !== undefined) throw refused(profile, why)
  }
}

function planOf(profile: CompiledProfile): Plan {
  try {
    return parsePlan(parseBase64(profile.plan))
  } catch (cause) {
    throw refused(profile, 'it is none', cause)
  }
}

function mismatchOf({ caps, limits }: CompiledProfile, plan: Plan): string | undefined {
  const kept = capabilityMask(caps.map(({ number }) => number))
  const checks: readonly (readonly [boolean, string])[] = [
    [plan.capabilities === kept, 'other capabilities'],
    [plan.outputMaxBytes === limits.output_bytes, 'another limit of output'],
    [plan.timeLimitMs === limits.time_ms, 'another limit of time'],
    [plan.memoryMaxBytes === limits.memory_bytes, 'another limit of memory'],
    [plan.pidsMax === limits.processes, 'another limit of processes'],
  ]
  return checks.find(([holds]) => !holds)?.[1]
}

function refused({ name }: CompiledProfile, why: string, cause?: unknown): BelladonnaError {
  return new BelladonnaError('input_invalid', `policy: the plan of profile ${name}: ${why}`, {
    cause,
  })
}
