import type { ExecutableDigests } from './foresee.ts'
import { isSameProgram } from './foresee.ts'

/** The digests that the executor named last for each action of one policy: the broker keeps them, and the executor which of
 * them the broker has. */
export type Programs = Readonly<{
  known: (policyDigest: string, action: string) => ExecutableDigests | null
  /** Whether the action had none before. */
  learn: (policyDigest: string, action: string, program: ExecutableDigests) => boolean
}>

export function openPrograms(): Programs {
  let policy = ''
  const programs = new Map<string, ExecutableDigests>()
  const under = (policyDigest: string): Map<string, ExecutableDigests> => {
    if (policy !== policyDigest) programs.clear()
    policy = policyDigest
    return programs
  }
  return {
    known: (policyDigest, action) => under(policyDigest).get(action) ?? null,
    learn: (policyDigest, action, program) => {
      const before = under(policyDigest).get(action)
      if (before === undefined || !isSameProgram(before, program)) programs.set(action, program)
      return before === undefined
    },
  }
}
