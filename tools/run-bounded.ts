/** Runs one command to its end, or to the end of its time, and leaves nothing of it behind. */
import { spawn } from 'node:child_process'

export type Bounds = Readonly<{
  cwd: string
  limitMs: number
  /** `on failure`: nothing is shown of a command that ends with 0. */
  output: 'always' | 'on failure'
  env?: NodeJS.ProcessEnv
}>

/** Resolves to whether the command ended with 0 within its time. */
export async function runBounded(command: readonly string[], bounds: Bounds): Promise<boolean> {
  const [program = '', ...args] = command
  const isShown = bounds.output === 'always'
  const chunks: Buffer[] = []
  const child = spawn(program, args, {
    cwd: bounds.cwd,
    env: bounds.env ?? process.env,
    stdio: ['ignore', isShown ? 'inherit' : 'pipe', isShown ? 'inherit' : 'pipe'],
    detached: true, // a process group of its own, so that a time-out ends what it started too
  })
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk))
  const { promise, resolve } = Promise.withResolvers<boolean>()
  child.on('error', (error) => {
    console.error(`${program}: ${error.message}`)
    resolve(false)
  })
  child.on('close', (status) => {
    resolve(status === 0)
  })
  const endGroup = (signal: NodeJS.Signals): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, signal)
  }
  const timer = setTimeout(() => {
    console.error(`${command.slice(0, 3).join(' ')}: not done after ${bounds.limitMs / 1000} s`)
    endGroup('SIGKILL')
  }, bounds.limitMs)
  // The group does not see the terminal's Ctrl-C, and the tests must have the chance to clean up.
  const interrupts: NodeJS.Signals[] = []
  const forward = (signal: NodeJS.Signals): void => {
    interrupts.push(signal)
    endGroup(signal)
  }
  process.on('SIGINT', forward).on('SIGTERM', forward)
  const passed = await promise
  clearTimeout(timer)
  process.off('SIGINT', forward).off('SIGTERM', forward)
  if (interrupts.length > 0) process.exit(130)
  if (!passed && !isShown) process.stderr.write(Buffer.concat(chunks))
  return passed
}
