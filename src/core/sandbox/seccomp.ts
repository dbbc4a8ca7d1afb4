import { newAssembler, putSearch } from './seccomp-program.ts'
import type { Range } from './seccomp-program.ts'
import { seccompAction, seccompVerdicts, unknown, verdictOf } from './seccomp-policy.ts'
import type { SeccompPolicy, Verdict } from './seccomp-policy.ts'
import { newestSyscall, syscalls } from './syscalls.ts'
import type { Architecture } from './syscalls.ts'

// linux/audit.h: the ELF machine, with bits for 64-bit and little-endian
const auditArchitecture: Readonly<Record<Architecture, number>> = {
  x86_64: 0xc000_003e,
  aarch64: 0xc000_00b7,
}
// struct seccomp_data
const numberOffset = 0
const architectureOffset = 4
const x32Bit = 0x4000_0000

/**
 * The seccomp program of a policy: kernel `struct sock_filter`s, 8 bytes each, ready for seccomp(2).
 *
 * In order: another architecture (on x86_64 also x32) kills the process, for its numbers mean other calls; a number
 * that Linux 6.18 does not have is ENOSYS, so a newer kernel brings no call past us; a search finds the range that
 * the number lies in. A call that is always allowed meets no load but those two, so the kernel (5.11 and later)
 * remembers that and does not run the program for it at all.
 *
 * The program of `service` answers execve and execveat with SECCOMP_RET_USER_NOTIF. The launcher installs it with a
 * listener, lets the very first exec (the service's own) continue, and closes the listener: from then on the kernel
 * answers each exec with ENOSYS. Installed without a listener no exec succeeds at all.
 *
 * @see seccomp(2), seccomp_unotify(2)
 */
export function compileSeccomp(architecture: Architecture, policy: SeccompPolicy): Uint8Array {
  const assembler = newAssembler()
  const kill = assembler.answer(seccompAction.killProcess)
  const search = putSearch(assembler, verdictRanges(architecture, policy))
  const native =
    architecture === 'x86_64' ? assembler.branch('any_bit', x32Bit, kill, search) : search
  const ours = assembler.load(numberOffset, native)
  const start = assembler.branch('equals', auditArchitecture[architecture], ours, kill)
  assembler.load(architectureOffset, start)
  return assembler.bytes()
}

/** The verdict of every number from 0 to 2³²-1, as ranges whose neighbours differ. */
export function verdictRanges(architecture: Architecture, policy: SeccompPolicy): readonly Range[] {
  const byNumber = new Map<number, Verdict>()
  const verdicts = seccompVerdicts(policy)
  for (const call of syscalls[architecture]) {
    byNumber.set(call[1], verdictOf(policy, verdicts, call))
  }
  const ranges: Range[] = []
  for (let number = 0; number <= newestSyscall + 1; number++) {
    const verdict = byNumber.get(number) ?? unknown
    if (ranges.at(-1)?.verdict !== verdict) ranges.push({ first: number, verdict })
  }
  return ranges
}
