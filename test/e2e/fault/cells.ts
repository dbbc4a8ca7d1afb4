/**
 * The cells of the fault matrix: which process is struck at which step of a request. docs/reference/faults.md lists them, and
 * test/fault-page.test.ts compares.
 *
 * strace strikes on entry to the step's own system call, so a cell is "before this step, and after the one before it".
 * `seen` is how that call looks in strace's output; only if the last call of the struck process looks so was the cell hit.
 */
import { wireKind } from '../../../src/core/protocol/layout.ts'

/** What is done to the process: it is killed, or its call fails with an error. */
export type Fault = 'SIGKILL' | 'EIO' | 'ENOSPC'
/** `first` is the first process of a run's pid namespace, `command` what it starts, `bell` the client. */
export type Struck = 'launcher' | 'broker' | 'executor' | 'bell' | 'first' | 'command' | 'relay'

/**
 * What is asked for: `touch` ran before, so that the broker foresees the executor's answer (ADR 0025); `put` never did. `seal`
 * has a bound stdin and a secret, which the executor reads first; `still` has its output capped, and `show` writes some; what `keep`
 * writes is recorded.
 */
export type FaultAction = 'touch' | 'put' | 'seal' | 'still' | 'show' | 'keep'

export type Cell = Readonly<{
  struck: Struck
  call: string
  /** The how many-th of these calls of that process, from the request on. */
  nth: number
  fault: Fault
  /** The step that does not come to be. */
  step: string
  seen: RegExp
  /** `touch` if it is left out. */
  action?: FaultAction
  /** Not its main thread calls, but one of those that Node has for files. */
  isOfWorker?: true
}>

type Row = readonly [
  struck: Struck,
  call: string,
  nth: number,
  step: string,
  seen: RegExp,
  action?: FaultAction,
]

/** A call that sends this frame: size, then kind, as strace -xx shows bytes. */
function sends(call: string, kind: number, descriptor = '\\d+'): RegExp {
  const bytes = [kind & 0xff, kind >> 8].map((byte) => `\\\\x${byte.toString(16).padStart(2, '0')}`)
  const before = call === 'sendmsg' ? '.*iov_base=' : ''
  return new RegExp(`^${call}\\(${descriptor}, ${before}"(?:\\\\x..){4}${bytes.join('')}`)
}

/** What Node finds at these numbers: native/launcher/sandbox.c, start_service. */
const fromLauncher = 3
const fromPeer = 4
const ofRecords = /^pwrite64\(\d+, "\\x42\\x44\\x46\\x52/ // "BDFR"

/** Of an input and of an output: what is read before it is permitted, and what is written while it runs. */
const channelKills: readonly Row[] = [
  ['bell', 'memfd_create', 1, 'its stdin is sealed', /^memfd_create\(/, 'seal'],
  ['executor', 'write', 1, 'READ of stdin is sent', sends('write', wireKind.read, '3'), 'seal'],
  ['executor', 'write', 2, 'READ of a secret is sent', sends('write', wireKind.read, '3'), 'seal'],
  ['executor', 'read', 2, 'BYTES of stdin are read', /^read\(3,/, 'seal'],
  ['executor', 'read', 3, 'BYTES of a secret are read', /^read\(3,/, 'seal'],
  ['launcher', 'pread64', 1, 'stdin is read for the executor', /^pread64\(/, 'seal'],
  ['launcher', 'sendto', 3, 'BYTES of stdin are sent', sends('sendto', wireKind.bytes), 'seal'],
  ['launcher', 'sendto', 4, 'BYTES of a secret are sent', sends('sendto', wireKind.bytes), 'seal'],
  [
    'launcher',
    'sendmsg',
    2,
    'a relay is ordered',
    /^sendmsg\(\d+, .*iov_base="(?:\\x..){8}\\x02\\x00/,
    'still',
  ],
  [
    'launcher',
    'sendmsg',
    3,
    'a relay gets its order',
    /^sendmsg\(\d+, .*iov_base="\\x00\\x00\\x10\\x00/,
    'still',
  ],
  ['relay', 'ppoll', 1, 'it waits for output', /^ppoll\(/, 'still'],
  ['relay', 'pwritev2', 1, 'output is delivered', /^pwritev2\(/, 'show'],
  ['relay', 'write', 1, 'its word is sent', /^write\(0, "\\x01\\x00\\x00\\x00/, 'still'],
]

const kills: readonly Row[] = [
  ['executor', 'read', 1, 'SUBMIT is read', /^read\(3,/],
  [
    'executor',
    'write',
    1,
    'RESOLVED is sent',
    sends('write', wireKind.resolved, `${fromPeer}`),
    'put',
  ],
  ['executor', 'write', 1, 'PREPARE is sent', sends('write', wireKind.prepare, `${fromLauncher}`)],
  ['executor', 'pwrite64', 1, 'the receipt is written', ofRecords],
  ['executor', 'fdatasync', 1, 'the receipt is synced', /^fdatasync\(/],
  ['executor', 'write', 2, 'OPEN is sent', sends('write', wireKind.open, `${fromLauncher}`)],
  ['executor', 'write', 3, 'RECEIPT is sent', sends('write', wireKind.receipt, `${fromPeer}`)],
  ['broker', 'read', 1, 'SUBMIT is read', /^read\(3,/],
  ['broker', 'read', 2, 'SUBMIT and RESOLVED are both read', /^read\([34],/, 'put'],
  ['broker', 'write', 1, 'INTEND is sent', sends('write', wireKind.intend, `${fromPeer}`)],
  [
    'broker',
    'write',
    1,
    'INTEND is sent after RESOLVED',
    sends('write', wireKind.intend, `${fromPeer}`),
    'put',
  ],
  ['broker', 'pwrite64', 1, 'the intent is written', ofRecords],
  ['broker', 'fdatasync', 1, 'the intent is synced', /^fdatasync\(/],
  ['broker', 'write', 2, 'RECORDED is sent', sends('write', wireKind.recorded, `${fromPeer}`)],
  ['broker', 'pwrite64', 2, 'the outcome is written', ofRecords],
  ['broker', 'fdatasync', 2, 'the outcome is synced', /^fdatasync\(/],
  ['launcher', 'accept4', 1, 'the client is accepted', /^accept4\(/],
  ['launcher', 'sendto', 1, 'SUBMIT is sent to the executor', sends('sendto', wireKind.submit)],
  ['launcher', 'sendto', 2, 'SUBMIT is sent to the broker', sends('sendto', wireKind.submit)],
  ['launcher', 'sendmsg', 1, 'a spare gets its plan', /^sendmsg\(\d+, .*iov_base="\\x/],
  ['launcher', 'sendto', 3, 'the gate is opened', /^sendto\(\d+, "\\x47", 1/],
  ['launcher', 'sendmsg', 2, 'the client is told', sends('sendmsg', wireKind.ended)],
  ['launcher', 'sendto', 4, 'EXITED is sent', sends('sendto', wireKind.exited)],
  ['bell', 'connect', 1, 'it connects', /^connect\(3, \{sa_family=AF_UNIX/],
  ['bell', 'sendmsg', 1, 'the request is sent', /^sendmsg\(3,/],
  ['bell', 'poll', 1, 'it waits', /^poll\(\[\{fd=3/],
  ['bell', 'read', 1, 'the answer is read', /^read\(3,/],
  ['first', 'setns', 1, 'its network is empty', /^setns\(\d+, CLONE_NEWNET/],
  ['first', 'capset', 1, 'its capabilities are dropped', /^capset\(/],
  ['first', 'seccomp', 1, 'its seccomp program is loaded', /^seccomp\(/],
  ['first', 'vfork', 1, 'the command is forked, to wait at the gate', /^vfork\(/],
  ['first', 'wait4', 1, 'it waits for the command', /^wait4\(/],
  ['command', 'execveat', 1, 'it is executed', /^execveat\(\d+, ""/],
  ['command', 'utimensat', 1, 'it ends, its file being there', /^utimensat\(/],
]

/** The writes and syncs of log and receipts, each as often as one request has it. */
const errors: readonly Row[] = [
  ['executor', 'pwrite64', 1, 'the receipt is written', ofRecords],
  ['executor', 'fdatasync', 1, 'the receipt is synced', /^fdatasync\(/],
  ['broker', 'pwrite64', 1, 'the intent is written', ofRecords],
  ['broker', 'fdatasync', 1, 'the intent is synced', /^fdatasync\(/],
  ['broker', 'pwrite64', 2, 'the outcome is written', ofRecords],
  ['broker', 'fdatasync', 2, 'the outcome is synced', /^fdatasync\(/],
]

/** A recording begins, grows and ends; then the broker looks at it. strace counts for each process: others have fewer such calls. */
const recordingKills: readonly Row[] = [
  ['relay', 'fallocate', 1, 'a recording has its room', /^fallocate\(/, 'keep'],
  [
    'relay',
    'write',
    1,
    'the head of a recording is written',
    /^write\(\d+, "\\x42\\x45\\x4c\\x4c/,
    'keep',
  ],
  ['relay', 'write', 2, 'its word that it records is sent', /^write\(0, "\\x52", 1/, 'keep'],
  ['relay', 'write', 3, 'the head of a chunk is written', /^write\(\d+, .*, 16\)/, 'keep'],
  ['relay', 'write', 4, 'what is in a chunk is written', /^write\(\d+, "\\x2f\\x75\\x73/, 'keep'],
  ['relay', 'pwritev2', 1, 'what is recorded is delivered', /^pwritev2\(/, 'keep'],
  ['relay', 'write', 5, 'the head of the last chunk is written', /^write\(\d+, .*, 16\)/, 'keep'],
  ['relay', 'write', 6, 'the last chunk is written', /^write\(\d+, .*, 24\)/, 'keep'],
  ['relay', 'ftruncate', 1, 'the room that is left is given back', /^ftruncate\(/, 'keep'],
  [
    'relay',
    'write',
    7,
    'its word of a recording is sent',
    /^write\(0, "\\x01\\x00\\x00\\x00/,
    'keep',
  ],
]

/** Of the file ".rec", and of its directory "…rdings", with `strace -y`. */
export const recordingSynced: RegExp = /^fdatasync\(\d+<[^>]*\\x2e\\x72\\x65\\x63>/
export const recordingNamed: RegExp = /^fsync\(\d+<[^>]*\\x72\\x64\\x69\\x6e\\x67\\x73>/

/** The broker makes a recording durable, then its name, and says so in the outcome. */
const settlingKills: readonly Row[] = [
  ['broker', 'fdatasync', 1, 'a recording is synced', recordingSynced, 'keep'],
  ['broker', 'fsync', 1, 'its name is synced', recordingNamed, 'keep'],
]
const settledKills: readonly Row[] = [
  ['broker', 'pwrite64', 2, 'the outcome of a recorded run is written', ofRecords, 'keep'],
]

function cellsOf(rows: readonly Row[], fault: Fault): readonly Cell[] {
  return rows.map(([struck, call, nth, step, seen, action]) => ({
    ...{ struck, call, nth, fault, step, seen },
    ...(action === undefined ? {} : { action }),
  }))
}

export const killCells: readonly Cell[] = [
  ...cellsOf([...kills, ...channelKills, ...recordingKills], 'SIGKILL'),
  ...cellsOf(settlingKills, 'SIGKILL').map((cell): Cell => ({ ...cell, isOfWorker: true })),
  ...cellsOf(settledKills, 'SIGKILL'),
]
export const errorCells: readonly Cell[] = [...cellsOf(errors, 'EIO'), ...cellsOf(errors, 'ENOSPC')]

/** One line of the page. */
export function pageRowOf({ struck, call, nth, fault, step }: Cell): readonly string[] {
  return [struck, `before ${step}`, `\`${call}\` ${nth}`, fault]
}
