/** Somebody who changes what is at a path while others look at it: test/e2e/sandbox/swap.c. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { checkout } from './bridge.ts'

/** Compiles it into a directory that its user can reach. */
export function buildSwapper(directory: string): string {
  const program = join(directory, 'swap')
  const source = join(checkout, 'test/e2e/sandbox/swap.c')
  execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-o', program, source])
  return program
}
