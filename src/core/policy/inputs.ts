import { createHmac } from 'node:crypto'
import { parseHex } from '../json/hex.ts'
import {
  firstInput,
  maxInputs,
  maxSecretBytes,
  maxStdinBytes,
  wireStdio,
} from '../protocol/layout.ts'
import type { ResolvedInputs } from '../protocol/input-frames.ts'
import type { Submission } from '../protocol/launcher-frames.ts'
import type { ActionRequest } from '../protocol/request.ts'
import type { RefusalCode } from '../refusal.ts'
import { bindsFiles } from './input-files.ts'
import type { GrantedPath } from './granted-path.ts'
import type { Permit } from './decide.ts'

/** The value of a `secret` parameter in a request: which of the descriptors that came with it, from `@1` on. */
export function isInputName(value: string): boolean {
  return /^@[1-9]$/.test(value) && numberOf(value) <= maxInputs
}

function numberOf(value: string): number {
  return Number(value.slice(1))
}

/** Where the command finds it: the sandbox gives it the descriptors in their order. */
export function pathOfInput(value: string): string {
  return `/dev/fd/${firstInput - 1 + numberOf(value)}`
}

/** What the executor has to read before it can resolve. `place` is what READ calls it: 0 is stdin, inputs are from 3 on. */
export type BoundInput = Readonly<{ place: number; secret: string | null; maxBytes: number }>

/** Why the descriptors of a request do not fit what it asks for. */
export type InputProblem = Readonly<{
  kind: 'problem'
  code: RefusalCode
  parameter: string | null
  enough: string
}>

/**
 * What is to be bound of the descriptors of a request that is permitted otherwise: stdin first, then secrets in the order
 * of the descriptors. Each descriptor is one parameter's, so that a run holds none that the action does not name.
 */
export function boundInputs(
  { action, profile }: Permit,
  { parameters }: ActionRequest,
  { stdio: [stdin], inputs }: Pick<Submission, 'stdio' | 'inputs'>,
): readonly BoundInput[] | InputProblem {
  const bound: BoundInput[] = []
  if (profile.stdin === 'bound' && stdin !== wireStdio.null) {
    if (stdin !== wireStdio.sealed) return problem('stdin_unbound', null, 'bell --bind-stdin')
    bound.push({ place: 0, secret: null, maxBytes: maxStdinBytes })
  }
  const secrets = new Map<number, string>()
  const names = new Set(action.params.flatMap((p) => (p.kind === 'secret' ? [p.name] : [])))
  for (const { name, value } of parameters) {
    if (!names.has(name)) continue
    const number = numberOf(value)
    if (number > inputs) return mismatch(name, 'a descriptor for it')
    if (secrets.has(number)) return mismatch(name, 'a descriptor of its own')
    secrets.set(number, name)
  }
  if (secrets.size < inputs) return mismatch(null, 'no descriptor that no secret is read from')
  const ordered = [...secrets].sort(([left], [right]) => left - right)
  const read = ordered.map(([number, secret]) => ({ place: 2 + number, secret }))
  return [...bound, ...read.map((input) => ({ ...input, maxBytes: maxSecretBytes }))]
}

export function isInputProblem(
  answer: readonly BoundInput[] | InputProblem,
): answer is InputProblem {
  return 'kind' in answer
}

/** Whether a resolved action binds these inputs, each of them and no other. */
export function bindsThose(
  bound: readonly BoundInput[],
  paths: readonly GrantedPath[],
  { files, stdin, secrets }: ResolvedInputs,
): boolean {
  const names = bound.flatMap(({ secret }) => (secret === null ? [] : [secret]))
  const isAsMany = names.length === Object.keys(secrets).length
  const bindsStdin = names.length < bound.length
  return (
    isAsMany &&
    names.every((name) => Object.hasOwn(secrets, name)) &&
    bindsStdin === (stdin !== null) &&
    bindsFiles(paths, files)
  )
}

/** What to say of an input that is longer than it may be. */
export function tooLarge({ secret, maxBytes }: BoundInput): InputProblem {
  return problem('input_too_large', secret, `at most ${maxBytes} bytes`)
}

function mismatch(parameter: string | null, enough: string): InputProblem {
  return problem('input_mismatch', parameter, enough)
}

function problem(code: RefusalCode, parameter: string | null, enough: string): InputProblem {
  return { kind: 'problem', code, parameter, enough }
}

/**
 * The commitment to a secret, 64 hexadecimal digits: HMAC-SHA-256 under a salt that is the HMAC of nonce and name under a key
 * that the executor keeps. Who has key, value and resolved action can show that they belong together; without the key
 * nobody can try values, however few there are.
 *
 * @param nonce of the resolved action, 32 hexadecimal digits
 * @see spec/resolved-action.md, "Secrets"
 */
export function commitmentOf(
  key: Uint8Array,
  { nonce, name, value }: Readonly<{ nonce: string; name: string; value: Uint8Array }>,
): string {
  const salt = createHmac('sha256', key).update(parseHex(nonce)).update(name).digest()
  return createHmac('sha256', salt).update(value).digest('hex')
}
