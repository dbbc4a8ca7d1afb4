/**
 * What runs in the machine, as root, when it is up: first the bridge as a unit, then those of our own tests that find out
 * what a kernel enforces. Prints TAP, and a last line that test/machine/run.ts waits for.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { checkout } from '../../support/bridge.ts'

const own = ['unit.ts', 'user.ts']
const shared = [
  ...['native/landlock', 'native/seccomp', 'native/socket-reach', 'native/shebang'],
  ...['e2e/sandbox/containment', 'e2e/sandbox/isolation', 'e2e/identity', 'e2e/limits'],
  ...['e2e/sandbox/restrictions', 'e2e/sandbox/unprivileged'],
].map((name) => `test/${name}.test.ts`)

const inUserMode = readFileSync('/proc/cpuinfo', 'utf8').includes('User Mode Linux')
/** Left out: how long something takes, and what a kernel for user mode has no entry of its own for. */
const leftOut = ['costs less than', 'pipe \\| cat', ...(inUserMode ? ['int 0x80', '32-bit'] : [])]

/**
 * Where tests start bridges whose runs have limits: below the delegated cgroup of this service, whose processes, all ours, go into
 * a leaf.
 */
const group = '/system.slice/machine.service'
function divideCgroup(): void {
  const at = `/sys/fs/cgroup${group}`
  for (const name of ['tests', 'bridges']) mkdirSync(`${at}/${name}`)
  writeFileSync(`${at}/tests/cgroup.procs`, `${process.pid}`)
  for (const path of [at, `${at}/bridges`])
    writeFileSync(`${path}/cgroup.subtree_control`, '+pids +memory')
}

const chosen = /machine\.only=(\S+)/.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1]?.split(',')
const files = [...own.map((name) => join('test/machine/guest', name)), ...shared].filter(
  (file) => chosen?.some((part) => file.includes(part)) ?? true,
)

async function runFile(file: string): Promise<boolean> {
  console.log(`# ${file}`)
  const words = [
    ...['--test', '--test-reporter=tap', '--test-timeout=1800000'],
    `--test-skip-pattern=${leftOut.join('|')}`,
    file,
  ]
  const child = spawn(process.execPath, words, {
    cwd: checkout,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, BELLADONNA_TEST_CGROUP: `${group}/bridges` },
  })
  const status = await new Promise((resolve) => child.once('close', resolve))
  return status === 0
}

if (inUserMode) console.log(`# a kernel for user mode: tests left out are ${leftOut.join(', ')}`)
divideCgroup()
const failed: string[] = []
for (const file of files) if (!(await runFile(file))) failed.push(file)
for (const file of failed) console.log(`# failed: ${file}`)
console.log(`# machine: ${failed.length === 0 && files.length > 0 ? 'passed' : 'failed'}`)
