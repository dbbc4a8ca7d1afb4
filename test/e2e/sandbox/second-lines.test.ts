/**
 * Checks of the child that matter only if the launcher itself is wrong, or another step of the child: each is tried in a launcher
 * that has these faults, and in one that has the faults and not the checks. Their executor permits whatever is asked.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { actionText } from '../../support/action-text.ts'
import { childrenOf, readProc, until } from '../../support/bridge.ts'
import { servicesOf } from './bare-bridge.ts'
import type { BareBridge } from './bare-bridge.ts'
import type { Edit } from './programs.ts'
import { openTwoLaunchers } from './two-launchers.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
// Plans of one size, so that only their bytes tell them apart.
const [first, other] = [join(directory, 'file1'), join(directory, 'file2')]
const policy = `schema = 1
[profile.first]
read = ["/usr", "${first}"]
[profile.other]
read = ["/usr", "${other}"]
${actionText('any', 'first', ['/usr/bin/true'])}
${actionText('more', 'other', ['/usr/bin/true'])}
`

const leaked = '50'
const faults: readonly Edit[] = [
  // A spare whose root was built for one plan gets any other.
  {
    file: 'launcher/spawn.c',
    from: 'size_t at = spare_shaped(serial);',
    to: 'size_t at = 0; while (at < spare_count && spares[at].shape == 0) at++;',
  },
  // A service has a descriptor that nobody meant it to have.
  {
    file: 'sandbox/sandbox.c',
    from: '  executable = dup3(executable, 6, O_CLOEXEC);\n',
    to: `  executable = dup3(executable, 6, O_CLOEXEC); (void)dup2(0, ${leaked});\n`,
  },
]
const checks: readonly Edit[] = [
  {
    file: 'sandbox/spare.c',
    from: 'return memcmp(bytes + head - sizeof *plan, shape + head - sizeof *plan, sizeof *plan + size) == 0;',
    to: 'return true;',
  },
  {
    file: 'sandbox/sandbox.c',
    from: ' || syscall(SYS_close_range, 7u, ~0u, 0) != 0',
    to: '',
  },
  {
    file: 'sandbox/first-process.c',
    from: 'syscall(SYS_close_range, 0u, 2u, 0) != 0 || ',
    to: '',
  },
]

before(() => {
  if (skip === false) for (const path of [first, other]) writeFileSync(path, path)
})
const both = openTwoLaunchers(directory, policy, checks, faults)

function mountsOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/mnt`)
  } catch {
    return ''
  }
}

/** Whether a process waits that has built a root ahead. */
function isShaped({ bridge }: BareBridge): boolean {
  const { launcher } = bridge.pids()
  const services = servicesOf(bridge)
  return childrenOf(launcher).some(
    (pid) => !services.includes(pid) && !['', mountsOf(launcher)].includes(mountsOf(pid)),
  )
}

test(
  'C33: a spare whose root was built for one plan serves no other, though it were given one',
  { skip },
  async () => {
    for (const [bare, isChecked] of both()) {
      const words = ['/usr/bin/cat', first]
      for (let run = 0; run < 4; run += 1)
        assert.equal((await bare.run(bare.plan('first'), words)).stdout, first)
      await until(() => isShaped(bare), 5_000)
      const { status, stdout } = await bare.run(bare.plan('other'), words)
      assert.deepEqual([status === 0, stdout], isChecked ? [false, ''] : [true, first])
    }
  },
)

function descriptorsOf(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`)
}

test(
  'C23: a service has its own six descriptors, whatever else was left open before its exec',
  { skip },
  () => {
    for (const [{ bridge }, isChecked] of both()) {
      const services = servicesOf(bridge)
      assert.equal(services.length, 2)
      for (const pid of services)
        assert.equal(descriptorsOf(pid).includes(leaked), !isChecked, `${pid}`)
    }
  },
)

test(
  'C23: the first process of a run holds nothing of the client, or whoever reads would wait for it too',
  { skip },
  async () => {
    for (const [bare, isChecked] of both()) {
      const words = ['/usr/bin/sleep', isChecked ? '4713' : '4714']
      const asked = bare.run(bare.plan('first'), words)
      const commands = (): readonly number[] =>
        readdirSync('/proc')
          .map(Number)
          .filter((pid) => readProc(`${pid}/cmdline`) === `${words.join('\0')}\0`)
      await until(() => commands().length === 1, 10_000)
      const [command = 0] = commands()
      const parent = Number(/^PPid:\t(\d+)$/m.exec(readProc(`${command}/status`))?.[1])
      const standard = (): readonly string[] => descriptorsOf(parent).filter((fd) => Number(fd) < 3)
      try {
        if (isChecked) await until(() => standard().length === 0, 5_000)
        else await sleep(300)
        assert.deepEqual(standard(), isChecked ? [] : ['0', '1', '2'])
      } finally {
        process.kill(command, 'SIGKILL')
        await asked
      }
    }
  },
)
