/** What the executor answers to one request: its own decision, and the resolved action of what it permits. */
import { BelladonnaError } from '../../core/error.ts'
import { formatHex } from '../../core/audit/merkle.ts'
import { parseHex } from '../../core/json/hex.ts'
import { decide, describeParameter } from '../../core/policy/decide.ts'
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
import type { RefusedPath } from '../../host/granted-path.ts'
import type { ReadInputs } from './readings.ts'
import type { Run } from './runs.ts'
import type { ExecutorHost } from './executor.ts'

const noInterpreter = new Uint8Array(32)
const nothing = new Uint8Array(0)

/** A refusal, and why. */
export type Declined = Readonly<{ kind: 'declined'; code: RefusalCode }> &
  Omit<DeclinedFrame, 'run' | 'code'>
type Judged = Readonly<{ kind: 'permit'; permit: Permit; inputs: readonly BoundInput[] }>
type Answer = Readonly<{ kind: 'resolved'; resolved: Uint8Array; run: Run }>

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
  { run, subject, inputs: inputCount }: Submission,
  { permit, timeMs, read }: Resolvable,
): Declined | Answer {
  const opened = host.openPaths(permit.paths, { runAs: permit.action.run_as, subject })
  if (opened.kind === 'refused') return refusedPath(permit, opened)
  const measured = measureOr(host, permit, opened.release)
  const release = (): void => {
    measured.release()
    opened.release()
  }
  const executableSha256 = formatHex(measured.sha256)
  if (!isPinned(permit.action, executableSha256)) {
    release()
    const detail = `sha256 ${executableSha256} is not pinned`
    return declined('executable_unsafe', { detail })
  }
  const nonceBytes = host.randomBytes(16)
  const nonce = formatHex(nonceBytes)
  const notAfterMs = timeMs + host.settings.recordWithinMs
  const bound = { ...bindRead(host, nonce, read), files: opened.files }
  const { interpreter } = measured
  const interpreterSha256 = interpreter === null ? null : formatHex(interpreter.sha256)
  const facts = {
    ...{ policyDigest, hostId: host.hostId, nonce, notAfterMs, bound },
    ...{ executableSha256, interpreterSha256 },
  }
  const { digest } = resolveAction(permit, subject, facts)
  const resolved = formatResolved({
    ...{ run, timeMs, notAfterMs, nonce: nonceBytes, bound },
    executableSha256: measured.sha256,
    actionDigest: parseHex(digest),
    interpreterSha256: interpreter?.sha256 ?? noInterpreter,
  })
  const command = host.commandOf(permit, measured, opened.binds)
  const prepare = formatPrepare(run, host.planOf(permit.profile), command, inputCount)
  return {
    kind: 'resolved',
    resolved,
    run: {
      ...{ run, subject, actionDigest: digest, nonce, timeMs, notAfterMs, prepare },
      ...{ prepared: false, stage: 'resolved', entry: null, receipt: null },
      ...{ receiptRecord: nothing, ahead: null, release },
      use: permit.changes.uses?.grant ?? null,
    },
  }
}

function refusedPath({ action }: Permit, refused: RefusedPath): Declined {
  const definition = action.params.find(({ name }) => name === refused.parameter)
  const enough = definition === undefined ? null : describeParameter(definition)
  return declined('path_refused', { ...refused, enough })
}

/** Lets go of what was opened for a run whose executable is refused. */
function measureOr(host: ExecutorHost, { action }: Permit, release: () => void): Measured {
  try {
    return host.measure(action)
  } catch (error) {
    release()
    throw error
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
