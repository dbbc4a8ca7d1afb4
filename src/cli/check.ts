import { closeSync, constants, openSync } from 'node:fs'
import { formatHex } from '../core/audit/merkle.ts'
import { formatPrintable } from '../core/audit/printable.ts'
import { BelladonnaError } from '../core/error.ts'
import type { Subject } from '../core/identity.ts'
import { decide } from '../core/policy/decide.ts'
import type { Ask, Deny, Permit } from '../core/policy/decide.ts'
import { adviseOn, previewAction } from '../core/policy/explain.ts'
import { boundInputs, isInputProblem } from '../core/policy/inputs.ts'
import { isPinned } from '../core/policy/resolve.ts'
import { problemOf } from '../core/problem.ts'
import { wireStdio } from '../core/protocol/layout.ts'
import { formatRequest, parseRequest } from '../core/protocol/request.ts'
import type { ActionRequest } from '../core/protocol/request.ts'
import { uncopied } from '../host/executable-copy.ts'
import { isCode } from '../host/directory.ts'
import { openMeasure } from '../host/executable.ts'
import { choosePolicy } from './chosen-policy.ts'
import type { ChosenPolicy } from './chosen-policy.ts'
import { describeAnswer } from './check-text.ts'
import { decisionStatuses } from './exit.ts'
import { aboutGrant } from './grant-story.ts'
import type { GrantStory } from './grant-story.ts'
import { showProblems } from './policy.ts'
import type { Output } from './output.ts'
import { readSubject } from './subject.ts'

/** Whose policy, and for whom. */
export type QuestionOptions = Readonly<{
  root: string
  /** A file or directory to compile; undefined for the installed policy. */
  source: string | undefined
  as: string | undefined
  json: boolean
}>

/** What a request would come to. A dry run: nothing is counted, recorded or started. */
export type CheckAnswer = Readonly<{
  subject: Subject
  chosen: ChosenPolicy
  request: ActionRequest
}> &
  (
    | Readonly<{
        decision: Permit | Ask
        grant: GrantStory | null
        /** The executable's; null where the caller may not read it. */
        sha256: string | null
        preview: ReturnType<typeof previewAction>
      }>
    | Readonly<{
        decision: Deny
        grant: GrantStory | null
        detail: string | null
        advice: ReturnType<typeof adviseOn>
      }>
  )

/** As `bell --bind-stdin` would send it, where the action binds it: `check` is not asked what a run is to read. */
const stdio = [wireStdio.sealed, wireStdio.null, wireStdio.null] as const

/** `belladonna check`: says what a request would come to, and why. Returns the exit status. */
export function check(
  options: QuestionOptions &
    Readonly<{ action: string; values: readonly string[]; reason: string }>,
  output: Output,
): number {
  const question = readQuestion(options.action, options.values, options.reason)
  const subject = readSubject(options.as)
  const chosen = choosePolicy(options.root, options.source)
  if (chosen.kind === 'invalid') return showProblems(options, output, chosen.problems)
  const answer = answerFor(chosen, subject, question, Date.now())
  if (options.json) output.print(JSON.stringify(formatAnswer(answer)))
  else for (const line of describeAnswer(answer)) output.print(formatPrintable(line))
  return decisionStatuses[answer.decision.kind]
}

/** What `bell` would send for the same words, and with how many descriptors. */
type Question = Readonly<{ request: ActionRequest; inputs: number }>

/** By the wire's own bytes, so that its limits hold here too. A file behind `@` is not looked at: the bridge would not. */
function readQuestion(action: string, values: readonly string[], reason: string): Question {
  let inputs = 0
  const parameters = values.map((word) => {
    const at = word.search(/[=@]/)
    if (at <= 0) {
      const what = `expected name=value or name@FILE, not ${JSON.stringify(word)}`
      throw new BelladonnaError('usage', what)
    }
    const name = word.slice(0, at)
    if (word[at] === '=') return { name, value: word.slice(at + 1) }
    inputs += 1
    return { name, value: `@${inputs}` }
  })
  try {
    const request = parseRequest(formatRequest({ action, reason, nonce: null, parameters }))
    return { request, inputs }
  } catch (cause) {
    if (!(cause instanceof BelladonnaError)) throw cause
    throw new BelladonnaError('usage', 'not a request that could be sent', { cause })
  }
}

/** What broker and executor would answer now. The broker's rates are in its memory: none is taken to be used up. */
function answerFor(
  chosen: ChosenPolicy,
  subject: Subject,
  { request, inputs }: Question,
  nowMs: number,
): CheckAnswer {
  const facts = { nowMs, uses: chosen.uses, rates: null }
  const decision = decide(chosen.index, subject, request, facts)
  const about = { subject, chosen, request }
  if (decision.kind === 'deny') return denial(about, decision, null)
  const rest = { kind: 'deny', rule: decision.grant, action: decision.action.id } as const
  const bound = decision.kind === 'ask' ? [] : boundInputs(decision, request, { stdio, inputs })
  if (isInputProblem(bound)) {
    const { code, parameter, enough } = bound
    return denial(about, { ...rest, code, parameter, enough }, null)
  }
  const measured = measure(chosen, decision)
  if ('fault' in measured) {
    const code = 'executable_unsafe'
    return denial(about, { ...rest, code, parameter: null, enough: null }, measured.fault)
  }
  return {
    ...about,
    decision,
    grant: aboutGrant(chosen, decision.grant),
    sha256: measured.executable,
    preview: previewAction(decision, subject, chosen.digest, measured),
  }
}

function denial(
  about: Pick<CheckAnswer, 'subject' | 'chosen' | 'request'>,
  decision: Deny,
  detail: string | null,
): CheckAnswer {
  const { chosen, request } = about
  const advice = adviseOn(chosen.policy, chosen.index, request, decision)
  return { ...about, decision, grant: aboutGrant(chosen, decision.rule), detail, advice }
}

type Digests = Parameters<typeof previewAction>[3]

/** The hashes that the executor would find; null if only the caller may not read the files. */
function measure(
  { uid }: ChosenPolicy,
  { action, profile: { proxy } }: Permit | Ask,
): Digests | { fault: string } {
  const programs = [action.executable, ...(proxy === null ? [] : [proxy.executable])]
  if (!programs.every(mayRead)) return { executable: null, interpreter: null, proxy: null }
  try {
    const open = openMeasure(uid, uncopied)
    const { sha256, interpreter } = open(action)
    const executable = formatHex(sha256)
    if (!isPinned(action, executable)) return { fault: `sha256 ${executable} is not pinned` }
    return {
      executable,
      interpreter: interpreter && formatHex(interpreter.sha256),
      proxy: proxy && formatHex(open({ ...proxy, interpreter: null, sha256: [] }).sha256),
    }
  } catch (error) {
    if (!(error instanceof BelladonnaError)) throw error
    return { fault: error.message }
  }
}

/** Whether nothing on the way forbids it; a file that is not there is another matter. */
function mayRead(path: string): boolean {
  try {
    // Not access(2), which asks for the real uid.
    closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK))
    return true
  } catch (error) {
    return !isCode(error, 'EACCES')
  }
}

/** The answer for a program. A denial is an RFC 9457 problem with more members. */
function formatAnswer(answer: CheckAnswer): object {
  const { subject, chosen, grant } = answer
  const { uid, gid, groups, unit } = subject
  const about = {
    subject: { uid, gid, groups, unit },
    policy: { digest: chosen.digest, source: chosen.source },
    grant,
  }
  if ('advice' in answer) {
    const { code, action, parameter, enough } = answer.decision
    const { suggestion, missing, grants } = answer.advice
    return {
      ...problemOf(code, { action, parameter, enough }),
      ...(answer.detail === null ? {} : { detail: answer.detail }),
      ...{ decision: 'deny', suggestion, missing_parameters: missing },
      granted_by: grants.map(({ id }) => aboutGrant(chosen, id)),
      ...about,
    }
  }
  const { decision, preview } = answer
  const { name, digest, escapable } = decision.profile
  const { about: purpose, risk, approval } = decision.action
  return {
    decision: decision.kind,
    ...about,
    ...{ about: purpose, risk, profile: { name, digest, escapable }, approval },
    resolved: preview,
  }
}
