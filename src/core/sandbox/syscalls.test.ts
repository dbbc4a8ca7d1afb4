import assert from 'node:assert/strict'
import test from 'node:test'
import type { Architecture } from './syscalls.ts'
import { newestSyscall, syscalls } from './syscalls.ts'

type Table = Readonly<{ architecture: Architecture; holes: readonly (readonly [number, number])[] }>

const tables: readonly Table[] = [
  { architecture: 'x86_64', holes: [[337, 423]] },
  {
    architecture: 'aarch64',
    holes: [
      [244, 259],
      [295, 423],
    ],
  },
]

for (const { architecture, holes } of tables) {
  test(`syscalls: ${architecture} has every number up to the newest but the unassigned ones`, () => {
    const numbers = [...syscalls[architecture].values()]
    assert.equal(new Set(numbers).size, numbers.length)
    const inHole = (number: number): boolean =>
      holes.some(([from, to]) => number >= from && number <= to)
    const expected = Array.from({ length: newestSyscall + 1 }, (_, number) => number).filter(
      (number) => !inHole(number),
    )
    assert.deepEqual(
      numbers.toSorted((a, b) => a - b),
      expected,
    )
  })
}

/** From syscall_64.tbl and scripts/syscall.tbl of Linux 6.18: both ends of each run of names, and some in between. */
const known: readonly (readonly [
  name: string,
  x86: number | undefined,
  arm: number | undefined,
])[] = [
  ['read', 0, 63],
  ['io_setup', 206, 0],
  ['ioctl', 16, 29],
  ['clone', 56, 220],
  ['fork', 57, undefined],
  ['execve', 59, 221],
  ['nfsservctl', 180, 42],
  ['security', 185, undefined],
  ['keyctl', 250, 219],
  ['recvmmsg', 299, 243],
  ['wait4', 61, 260],
  ['kexec_file_load', 320, 294],
  ['bpf', 321, 280],
  ['rseq', 334, 293],
  ['uprobe', 336, undefined],
  ['pidfd_send_signal', 424, 424],
  ['io_uring_setup', 425, 425],
  ['clone3', 435, 435],
  ['memfd_secret', 447, 447],
  ['cachestat', 451, 451],
  ['fchmodat2', 452, 452],
  ['map_shadow_stack', 453, 453],
  ['futex_requeue', 456, 456],
  ['lsm_list_modules', 461, 461],
  ['mseal', 462, 462],
  ['open_tree_attr', 467, 467],
  ['file_setattr', 469, 469],
]

test('syscalls: names have the numbers of the kernel', () => {
  for (const [name, x86, arm] of known) {
    assert.equal(syscalls.x86_64.get(name), x86, name)
    assert.equal(syscalls.aarch64.get(name), arm, name)
  }
})
