/** Somebody who changes what is at a path while others look at it: test/e2e/sandbox/swap.c. */
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { checkout, exitOf } from './bridge.ts'

/** Compiles it into a directory that its user can reach. */
export function buildSwapper(directory: string): string {
  const program = join(directory, 'swap')
  const source = join(checkout, 'test/e2e/sandbox/swap.c')
  execFileSync('gcc', ['-O1', '-Wall', '-Werror', '-o', program, source])
  return program
}

/** Swaps as the user `uid` until `work` is done. It must still be swapping then. */
export async function whileSwapping<T>(
  words: readonly string[],
  uid: number,
  work: () => Promise<T>,
): Promise<T> {
  const [program = '', ...args] = words
  const swapper = spawn(program, args, { uid, gid: uid, stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise<void>((resolve, reject) => {
    swapper.stdout.once('data', () => resolve())
    swapper.once('exit', (code) => reject(new Error(`the swapper ended with ${String(code)}`)))
  })
  try {
    const result = await work()
    if (swapper.exitCode !== null) throw new Error(`it ended with ${String(swapper.exitCode)}`)
    return result
  } finally {
    swapper.kill('SIGKILL')
    await exitOf(swapper)
  }
}
