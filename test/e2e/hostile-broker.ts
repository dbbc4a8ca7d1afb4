/** A broker that obeys nobody: sends what its turn says, in and out of turn. Started by hostile-broker.test.ts. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { formatProblem } from '../../src/core/problem.ts'
import { openChannel } from '../../src/host/channel.ts'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { formatRefuse, parseSubmission } from '../../src/core/protocol/launcher-frames.ts'
import {
  formatIntent,
  formatRecorded,
  parseDeclined,
  parseResolved,
} from '../../src/core/protocol/peer-frames.ts'
import { formatAdopt, parseLoaded } from '../../src/core/protocol/reload-frames.ts'

const log = process.argv[2] ?? ''
const note = (text: string): void => writeFileSync(`${log}/said`, `${text}\n`, { flag: 'a' })
/** Which attack this start makes: one more each time it is started again. */
const turn = nextTurn()

function nextTurn(): number {
  let before = -1
  try {
    before = Number(readFileSync(`${log}/turn`, 'utf8'))
  } catch {}
  writeFileSync(`${log}/turn`, `${before + 1}`)
  return before + 1
}

function u64(run: number, rest = 0): Uint8Array {
  const bytes = new Uint8Array(8 + rest)
  new DataView(bytes.buffer).setUint32(0, run, true)
  return bytes
}

const kinds = Object.entries(wireKind)
type Attack = Readonly<{
  name: string
  /** `loaded`: the test makes the launcher reload while a run of another policy is resolved. */
  at: 'submit' | 'resolved' | 'loaded'
  make: (run: number, digest: Uint8Array) => void
}>
const attacks: Attack[] = [
  // These leave the client waiting for the launcher's deadline, 40 s: the first, so that bridges wait at the same time.
  {
    name: 'intend with another digest',
    at: 'resolved',
    make: (run) => executor.send(formatIntent({ run, actionDigest: new Uint8Array(32) })),
  },
  {
    name: 'reload: intend, after adopt, what the policy before permitted',
    at: 'loaded',
    make: (run, actionDigest) => {
      executor.send(formatAdopt(loaded))
      executor.send(formatIntent({ run, actionDigest }))
    },
  },
  ...kinds.map(([name, kind]): Attack => ({
    name: `${name} to the executor`,
    at: 'submit',
    make: (run) => executor.send(formatFrame(kind, u64(run, 40))),
  })),
  ...kinds.map(([name, kind]): Attack => ({
    name: `${name} to the launcher`,
    at: 'submit',
    make: (run) => launcher.send(formatFrame(kind, u64(run, 40))),
  })),
  {
    name: 'recorded without intend',
    at: 'resolved',
    make: (run) => executor.send(formatRecorded({ run, entry: 1 })),
  },
  {
    name: 'intend twice',
    at: 'resolved',
    make: (run, actionDigest) => {
      executor.send(formatIntent({ run, actionDigest }))
      executor.send(formatIntent({ run, actionDigest }))
    },
  },
  {
    name: 'intend for a run that is not there, twice',
    at: 'resolved',
    make: (run, actionDigest) => {
      executor.send(formatIntent({ run: run + 5, actionDigest }))
      executor.send(formatIntent({ run: run + 5, actionDigest }))
    },
  },
  {
    name: 'recorded for a run that is not there',
    at: 'resolved',
    make: (run) => executor.send(formatRecorded({ run: run + 5, entry: 1 })),
  },
  {
    name: 'intend ahead of the answer, and recorded, with another digest, again and again',
    at: 'submit',
    make: (run) => {
      for (let i = 0; i < 2; i++) {
        executor.send(formatIntent({ run, actionDigest: new Uint8Array(32) }))
        executor.send(formatRecorded({ run, entry: 1 }))
      }
    },
  },
  {
    name: 'intend and recorded ahead of the answer, then recorded with what was answered',
    at: 'submit',
    make: (run) => {
      executor.send(formatIntent({ run, actionDigest: new Uint8Array(32) }))
      executor.send(formatRecorded({ run, entry: 1 }))
      ahead = run
    },
  },
  {
    name: 'reload: adopt a policy that was not loaded',
    at: 'loaded',
    make: () => executor.send(formatAdopt(new Uint8Array(32).fill(7))),
  },
  {
    name: 'reload: adopt twice',
    at: 'loaded',
    make: () => {
      executor.send(formatAdopt(loaded))
      executor.send(formatAdopt(loaded))
    },
  },
]
let loaded: Uint8Array = new Uint8Array(32)
/** Of this run INTEND and RECORDED were sent before it was resolved. */
let ahead = 0
let resolved: Readonly<{ run: number; actionDigest: Uint8Array }> | null = null

const tries: readonly (readonly [string, () => void])[] = [
  ['execve', () => execFileSync('/usr/bin/true')],
  ['shadow', () => readFileSync('/etc/shadow')],
  ['outside', () => writeFileSync('/belladonna/src/x', '')],
  ['key', () => readFileSync('/belladonna/state/host.key')],
]
if (turn === 0) {
  for (const [name, attempt] of tries) {
    try {
      attempt()
      note(`could ${name}`)
    } catch (error) {
      note(`could not ${name}: ${error instanceof Error ? error.message.split('\n')[0] : ''}`)
    }
  }
  connect({ host: '127.0.0.1', port: 22 }).on('error', (error) =>
    note(`could not connect: ${error.message}`),
  )
}

/**
 * A request that the executor would not permit, recorded all the same: with the digest that it answered, if it did, else with
 * one of our own. Then the client is told, so that it does not wait.
 */
function recordDenied(run: number, actionDigest: Uint8Array): void {
  note(`recorded ${run}`)
  executor.send(formatIntent({ run, actionDigest }))
  executor.send(formatRecorded({ run, entry: 1 }))
  const refusal = formatRefuse(run, 125, formatProblem('disagreement', {}))
  setTimeout(() => launcher.send(refusal), 200)
}

/** Several of us share the attacks, each at a bridge of its own: most of the time goes into waiting for restarts. */
const wanted = process.env['BELLADONNA_TEST_SHARE'] ?? ''
const isRecorder = wanted === 'denied'
const [share = 0, shares = 0] = wanted.split('/').map(Number)
const attack = isRecorder ? undefined : attacks[shares * turn + share]
note(attack === undefined ? 'done' : `turn ${turn}: ${attack.name}`)
const launcher = openChannel(3, {
  frame: (frame) => {
    if (frame.kind === wireKind.hello) launcher.send(formatFrame(wireKind.brokerReady))
    if (frame.kind === wireKind.submit && attack?.at === 'submit') {
      attack.make(parseSubmission(frame.body.slice()).run, new Uint8Array(32))
    }
  },
  batchEnd: () => undefined,
  closed: () => process.exit(0),
})
const executor = openChannel(4, {
  frame: (frame) => {
    if (isRecorder && frame.kind === wireKind.declined) {
      recordDenied(parseDeclined(frame.body).run, new Uint8Array(32).fill(1))
    } else if (isRecorder && frame.kind === wireKind.resolved) {
      const { run, actionDigest } = parseResolved(frame.body)
      recordDenied(run, actionDigest)
    } else if (frame.kind === wireKind.resolved) {
      resolved = parseResolved(frame.body)
      if (resolved.run === ahead) {
        executor.send(formatRecorded({ run: ahead, entry: 2 }))
        executor.send(formatIntent({ run: ahead, actionDigest: new Uint8Array(32) }))
      }
      if (attack?.at === 'resolved') attack.make(resolved.run, resolved.actionDigest)
    }
    if (frame.kind === wireKind.loaded && attack?.at === 'loaded' && resolved !== null) {
      const answer = parseLoaded(frame.body)
      if (answer.kind === 'policy') loaded = answer.digest
      attack.make(resolved.run, resolved.actionDigest)
    }
  },
  batchEnd: () => undefined,
  closed: () => process.exit(0),
})
process.on('SIGTERM', () => process.exit(0))
