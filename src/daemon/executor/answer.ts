/** What the executor answers to one request: its own decision, and the resolved action of what it permits. */
import { BelladonnaError } from '../../core/error.ts'
import { formatHex } from '../../core/audit/merkle.ts'
import type { Subject } from '../../core/identity.ts'
import { parseHex } from '../../core/json/hex.ts'
import { decide, describeParameter } from '../../core/policy/decide.ts'
import { isForeseeable } from '../../core/policy/foresee.ts'
import type { ExecutableDigests } from '../../core/policy/foresee.ts'
import { boundInputs, commitmentOf, isInputProblem } from '../../core/policy/inputs.ts'
import type { BoundInput } from '../../core/policy/inputs.ts'
import type { Permit } from '../../core/policy/decide.ts'
import type { UsablePolicy } from '../../core/policy/reload.ts'
import { isPinned, resolveAction } from '../../core/policy/resolve.ts'
import { noInputs } from '../../core/protocol/input-frames.ts'
import type { ResolvedInputs } from '../../core/protocol/input-frames.ts'
import { formatPrepare } from '../../core/protocol/launcher-frames.ts'
import type { Submission } from '../../core/protocol/launcher-frames.ts'
import { formatResolved } from '../../core/protocol/peer-frames.ts'
import type { Declined as DeclinedFrame } from '../../core/protocol/peer-frames.ts'
import { parseRequest } from '../../core/protocol/request.ts'
import type { RefusalCode } from '../../core/refusal.ts'
import type { Measured } from '../../host/executable.ts'
import type { OpenedPaths, RefusedPath } from '../../host/granted-path.ts'
import type { ReadInputs } from './readings.ts'
import { openCompanion } from './companion.ts'
import type { Companion } from './companion.ts'
import type { Run } from './runs.ts'
import type { ExecutorHost } from './executor-host.ts'

const noDigest = new Uint8Array(32)
const nothing = new Uint8Array(0)

/** A refusal, and why. */
export type Declined = Readonly<{ kind: 'declined'; code: RefusalCode }> &
  Omit<DeclinedFrame, 'run' | 'code'>
type Judged = Readonly<{ kind: 'permit'; permit: Permit; inputs: readonly BoundInput[] }>
type Answer = Readonly<{
  kind: 'resolved'
  run: Omit<Run, 'prepared' | 'isAnswered'>
}>

/** Of a request without inputs. */
export const nothingRead: ReadInputs = { stdin: null, secrets: [] }

export function judge(
  host: ExecutorHost,
  policy: UsablePolicy,
  submission: Submission,
  lastReceiptMs: number,
): Declined | Judged {
  // Time never runs below the last receipt's (DESIGN.md section 5).
  const nowMs = Math.max(host.nowMs(), lastReceiptMs)
  if (host.isShort()) return declined('log_full')
  return orDeclined(() => {
    const request = parseRequest(submission.request)
    // Rates are judged by the broker alone.
    const facts = { nowMs, uses: host.usedGrants.counts, rates: null }
    const decision = decide(policy.index, submission.subject, request, facts)
    if (decision.kind === 'deny') return declined(decision.code, decision)
    if (decision.kind === 'ask') return declined('approval_required')
    const inputs = boundInputs(decision, request, submission)
    if (isInputProblem(inputs)) return declined(inputs.code, inputs)
    return { kind: 'permit', permit: decision, inputs }
  })
}

/** What a request can be the cause of is a refusal; anything else is ours, and ends us. */
export function orDeclined<T>(answer: () => T): T | Declined {
  try {
    return answer()
  } catch (error) {
    if (!(error instanceof BelladonnaError)) throw error
    if (error.code === 'frame_invalid') return declined('request_malformed')
    // The executable's: what is wrong with it is for who keeps the host, not for who asks.
    if (error.code === 'path_unsafe' || error.code === 'path_refused') {
      return declined('executable_unsafe', { detail: error.message })
    }
    throw error
  }
}

export function declined(code: RefusalCode, about: Partial<Omit<Declined, 'kind'>> = {}): Declined {
  const { parameter = null, enough = null, detail = null, isTold = false } = about
  return { kind: 'declined', code, parameter, enough, detail, isTold }
}

type Resolvable = Readonly<{ permit: Permit; timeMs: number; read: ReadInputs }>

export function resolve(
  host: ExecutorHost,
  policyDigest: string,
  { run, subject, nonce, inputs: inputCount }: Submission,
  { permit, timeMs, read }: Resolvable,
): Declined | Answer {
  const opened = open(host, permit, subject)
  if (opened.kind === 'declined') return opened
  const { measured, companion, paths, release } = opened
  const { interpreter } = measured
  const notAfterMs = timeMs + host.settings.recordWithinMs
  const bound = { ...bindRead(host, nonce, read), files: paths.files }
  const program = programOf(opened)
  const facts = { policyDigest, hostId: host.hostId, nonce, notAfterMs, bound, ...program }
  const { digest } = resolveAction(permit, subject, facts)
  const answer = (): Uint8Array =>
    formatResolved({
      ...{ run, timeMs, notAfterMs, bound, actionDigest: parseHex(digest) },
      executableSha256: measured.sha256,
      interpreterSha256: interpreter?.sha256 ?? noDigest,
      proxySha256: companion?.sha256 ?? noDigest,
    })
  const inputsRead = read.secrets.length + (read.stdin === null ? 0 : 1)
  const prepare = prepareOf(() => {
    const binds = companion === null ? paths.binds : [...paths.binds, companion.bind]
    const command = host.commandOf(permit, measured, binds)
    return formatPrepare(run, host.planOf(permit.profile), command, {
      ...{ inputs: inputCount, proxy: companion?.prepared ?? null },
      detach: permit.action.detach,
    })
  })
  if ('kind' in prepare) {
    release()
    return prepare
  }
  return {
    kind: 'resolved',
    run: {
      ...{ run, subject, actionDigest: digest, nonce, timeMs, notAfterMs, prepare },
      ...{ action: permit.action.id, program, answer },
      stale: isForeseeable(permit, inputsRead) ? 'possible' : 'impossible',
      ...{ stage: 'resolved', entry: null, receipt: null },
      ...{ receiptRecord: nothing, ahead: null, release },
      use: permit.changes.uses?.grant ?? null,
    },
  }
}

type Opened = Readonly<{
  kind: 'opened'
  paths: OpenedPaths
  measured: Measured
  companion: Companion | null
  release: () => void
}>

/** All that a run needs of the host, or nothing of it: what was opened before a refusal is let go of. */
function open(host: ExecutorHost, permit: Permit, subject: Subject): Declined | Opened {
  const paths = host.openPaths(permit.paths, { runAs: permit.action.run_as, subject })
  if (paths.kind === 'refused') return refusedPath(permit, paths)
  const held = [paths.release]
  const release = (): void => {
    for (const letGo of held) letGo()
  }
  try {
    const measured = host.measure(permit.action)
    held.push(measured.release)
    const executableSha256 = formatHex(measured.sha256)
    if (!isPinned(permit.action, executableSha256)) {
      release()
      const detail = `sha256 ${executableSha256} is not pinned`
      return declined('executable_unsafe', { detail })
    }
    const companion = openCompanion(host, permit)
    if (companion !== null) held.push(companion.release)
    return { kind: 'opened', paths, measured, companion, release }
  } catch (error) {
    release()
    throw error
  }
}

function programOf({ measured, companion }: Opened): ExecutableDigests {
  const { sha256, interpreter } = measured
  return {
    executableSha256: formatHex(sha256),
    interpreterSha256: interpreter === null ? null : formatHex(interpreter.sha256),
    proxySha256: companion && formatHex(companion.sha256),
  }
}

function refusedPath({ action }: Permit, refused: RefusedPath): Declined {
  const definition = action.params.find(({ name }) => name === refused.parameter)
  const enough = definition === undefined ? null : describeParameter(definition)
  return declined('path_refused', { ...refused, enough })
}

/** How many and how long its arguments are is in the caller's hands: what no frame or argument list holds is a refusal. */
function prepareOf(format: () => Uint8Array): Uint8Array | Declined {
  try {
    return format()
  } catch (error) {
    if (!(error instanceof BelladonnaError) || error.code !== 'input_invalid') throw error
    return declined('not_recorded', { detail: error.message })
  }
}

/** Of secrets only the commitments go on from here. */
function bindRead(
  host: ExecutorHost,
  nonce: string,
  { stdin, secrets }: ReadInputs,
): Omit<ResolvedInputs, 'files'> {
  if (stdin === null && secrets.length === 0) return noInputs
  const commitments = secrets.map(({ name, value }) => {
    return [name, commitmentOf(host.commitmentKey, { nonce, name, value })] as const
  })
  return { stdin, secrets: Object.fromEntries(commitments) }
}
