/** What is fuzzed in TypeScript: each target takes a text and throws if a claim about it does not hold. */
import { compiledTarget } from './compiled-target.ts'
import { matchTarget } from './match-target.ts'
import { framesTarget } from './frames-target.ts'
import { logTarget } from './log-target.ts'
import type { Draw } from './mutate.ts'
import { policyTarget } from './policy-target.ts'
import { recordingTarget } from './recording-target.ts'
import { recordsTarget } from './records-target.ts'
import { requestTarget } from './request-target.ts'
import { servicesTarget } from './services-target.ts'
import { shebangTarget } from './shebang-target.ts'
import { unitTarget } from './unit-target.ts'

export type Target = Readonly<{
  seeds: readonly string[]
  /** Words of the input's language, for mutations. */
  words: readonly string[]
  run: (input: string, draw: Draw) => void
  /** Claims that are cheaper to check about many inputs together; called once a round, and at the end. */
  endRound?: (isLast: boolean) => void
}>

// prettier-ignore
export const scriptTargets = ['match', 'policy', 'compiled', 'request', 'unit', 'shebang', 'frames', 'records', 'recording', 'log', 'services'] as const
export type ScriptTarget = (typeof scriptTargets)[number]

export function openTarget(name: ScriptTarget): Target {
  switch (name) {
    case 'match':
      return matchTarget()
    case 'policy':
      return policyTarget()
    case 'compiled':
      return compiledTarget()
    case 'request':
      return requestTarget()
    case 'unit':
      return unitTarget()
    case 'shebang':
      return shebangTarget()
    case 'frames':
      return framesTarget()
    case 'records':
      return recordsTarget()
    case 'recording':
      return recordingTarget()
    case 'log':
      return logTarget()
    case 'services':
      return servicesTarget()
  }
}
