/**
 * What runs in the machine, as root, when it is up: first the bridge as a unit, then those of our own tests that find out
 * what a kernel enforces. Prints TAP, and a last line that test/machine/run.ts waits for.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from '../../support/bridge.ts'

const own = ['unit.ts']
const shared: readonly string[] = []

const chosen = /machine\.only=(\S+)/.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1]?.split(',')
const files = [...own.map((name) => join('test/machine/guest', name)), ...shared].filter(
  (file) => chosen?.some((part) => file.includes(part)) ?? true,
)

async function runFile(file: string): Promise<boolean> {
  console.log(`# ${file}`)
  const words = ['--test', '--test-reporter=tap', '--test-timeout=600000', file]
  const child = spawn(process.execPath, words, {
    cwd: checkout,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const status = await new Promise((resolve) => child.once('close', resolve))
  return status === 0
}

const failed: string[] = []
for (const file of files) if (!(await runFile(file))) failed.push(file)
for (const file of failed) console.log(`# failed: ${file}`)
console.log(`# machine: ${failed.length === 0 && files.length > 0 ? 'passed' : 'failed'}`)
