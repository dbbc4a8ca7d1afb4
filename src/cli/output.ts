import { formatPolicyProblem } from '../core/toml/problem.ts'
import type { PolicyProblem } from '../core/toml/problem.ts'

/** Where a command prints; each text is a line without its end. */
export type Output = Readonly<{
  print: (line: string) => void
  complain: (line: string) => void
}>

/** A line for each problem of a policy or of a configuration. */
export function printProblems(
  problems: readonly PolicyProblem[],
  complain: (line: string) => void,
): void {
  for (const problem of problems) complain(formatPolicyProblem(problem))
}
