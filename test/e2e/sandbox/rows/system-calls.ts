/** Rows of restrictions.test.ts: one for each system call that seccomp refuses to every run. */
import { refusedToAll } from '../../../../src/core/sandbox/seccomp-policy.ts'
import { syscalls } from '../../../../src/core/sandbox/syscalls.ts'
import {
  allowCalls,
  allowI386,
  allowX32,
  numberOf,
  withCapabilities,
  architecture,
} from '../plan-changes.ts'
import type { Change } from '../plan-changes.ts'
import { ended } from './row.ts'
import type { Row } from './row.ts'

/** Refused to all by seccomp. All capabilities are there on both sides, so that it is not the kernel that refuses. */
function refusedCall(
  name: string,
  words: readonly string[],
  without: Change,
  refused = ended.EPERM,
): Row {
  return {
    name: `seccomp: ${name} is refused`,
    attempt: () => words,
    behind: withCapabilities(),
    without,
    refused,
    succeeds: new RegExp(`^(?!${refused}$)`),
  }
}

const own = syscalls[architecture]
export const byNumber: readonly Row[] = refusedToAll
  .filter((call) => own.has(call))
  .map((call) =>
    refusedCall(
      call.startsWith('io_uring') ? `C82: ${call}` : call,
      ['call', `${numberOf(call)}`],
      allowCalls(call),
    ),
  )
const [TIOCSTI, TIOCLINUX, TIOCSETD] = [0x5412, 0x541c, 0x5423]
export const byArgument: readonly Row[] = [
  refusedCall('clone3', ['call', `${numberOf('clone3')}`], allowCalls('clone3'), ended.ENOSYS),
  ...Object.entries({
    NEWNS: 0x2_0000,
    NEWCGROUP: 0x200_0000,
    NEWUTS: 0x400_0000,
    NEWIPC: 0x800_0000,
    NEWUSER: 0x1000_0000,
    NEWPID: 0x2000_0000,
    NEWNET: 0x4000_0000,
  }).map(([name, flag]) =>
    refusedCall(`clone with CLONE_${name}`, ['clone', `${flag}`], allowCalls('clone')),
  ),
  ...Object.entries({ TIOCSTI, TIOCLINUX, TIOCSETD }).flatMap(([name, request]) => [
    refusedCall(`C22: ${name}`, ['ioctl', `${request}`], allowCalls('ioctl')),
    refusedCall(
      `C22: ${name} with high bits`,
      ['ioctl', `0x12345678${request.toString(16).padStart(8, '0')}`],
      allowCalls('ioctl'),
    ),
  ]),
  refusedCall('personality', ['personality', '0x40000'], allowCalls('personality')),
  refusedCall(
    'socketpair of datagrams',
    ['pair', '1', '2'],
    allowCalls('socketpair'),
    ended.EAFNOSUPPORT,
  ),
]
export const byEntry: readonly Row[] =
  architecture === 'x86_64'
    ? [
        refusedCall('the entry for 32-bit programs', ['i386'], allowI386, ended.SIGSYS),
        refusedCall('x32', ['x32'], allowX32, ended.SIGSYS),
      ]
    : []
