import { BelladonnaError } from '../error.ts'
import type { Subject } from '../identity.ts'
import { formatCanonicalJson } from '../json/canonical.ts'
import { sha256Hex } from '../json/digest.ts'
import { noInputs } from '../protocol/input-frames.ts'
import type { ResolvedInputs } from '../protocol/input-frames.ts'
import { allowedCalls } from '../sandbox/bus-place.ts'
import type { CompiledAction, CompiledProfile } from './compiled.ts'
import type { Ask, Permit } from './decide.ts'
import { resolvedFiles } from './input-files.ts'

/** What only the executor knows about one run. Digests, host id and nonce are lower-case hexadecimal. */
export type ResolveFacts = Readonly<{
  policyDigest: string
  hostId: string
  nonce: string
  /** Unix milliseconds after which nothing may run by this resolved action. */
  notAfterMs: number
  executableSha256: string
  /** Of the program that reads the script; null where the executable is a program. */
  interpreterSha256: string | null
  /** Of what filters the profile's sockets, where something does. */
  proxySha256?: string | null
  /** What the run's paths are, and stdin and secrets where the action binds them. */
  bound?: ResolvedInputs
}>

/** Everything that a run is bound to, as one text, and the SHA-256 of that text: the action digest. */
export type ResolvedAction = Readonly<{ text: string; digest: string }>

/**
 * Makes the resolved action of a permit. Broker and executor make it each for itself; equal facts give equal bytes.
 *
 * @throws {BelladonnaError} `input_invalid` if the executable is not one that the action pins
 * @see spec/resolved-action.md
 */
export function resolveAction(
  permit: Permit | Ask,
  subject: Subject,
  facts: ResolveFacts,
): ResolvedAction {
  const { action } = permit
  if (!isPinned(action, facts.executableSha256)) {
    throw new BelladonnaError(
      'input_invalid',
      `resolve ${action.id}: the executable is not the pinned one`,
    )
  }
  const text = formatResolved(permit, subject, facts)
  return { text, digest: sha256Hex(text) }
}

/** Canonical JSON, written out in the order of RFC 8785 because each run waits for it; a test compares. */
function formatResolved(permit: Permit | Ask, subject: Subject, facts: ResolveFacts): string {
  const { head, middle, runAs } = fixedParts(permit)
  const { uid, gid, groups } = subject
  const bound = facts.bound ?? noInputs
  return (
    `${head}${json(permit.argv)},${middle}${json(facts.executableSha256)}},` +
    `"host":${json(facts.hostId)},"inputs":${inputsOf(permit, bound)},"interpreter":${interpreterOf(permit.action, facts)},` +
    `"nonce":${json(facts.nonce)},` +
    `"not_after_ms":${json(facts.notAfterMs)},"policy":${json(facts.policyDigest)},` +
    `"profile":${json(permit.profile.digest)},"proxy":${proxyOf(permit.profile, facts)},"run_as":${runAs},"secrets":${json(bound.secrets)},"stdin":${json(bound.stdin)},` +
    `"subject":{"gid":${json(gid)},"groups":${json(groups)},"uid":${json(uid)},"unit":${json(subject.unit)}},` +
    `"type":"belladonna/resolved-action/v1"}`
  )
}

const json = formatCanonicalJson

function inputsOf({ paths }: Permit | Ask, { files }: ResolvedInputs): string {
  return files.length === 0 ? '{}' : json(resolvedFiles(paths, files))
}

function interpreterOf({ interpreter }: CompiledAction, facts: ResolveFacts): string {
  if (interpreter === null) return 'null'
  return `{"path":${json(interpreter.executable)},"sha256":${json(facts.interpreterSha256)}}`
}

/** What filters sockets, and what it lets through, by the socket: approvers see it, and the intent has it. */
function proxyOf({ proxy, sockets }: CompiledProfile, { proxySha256 }: ResolveFacts): string {
  if (proxy === null) return 'null'
  return json({ allow: allowedCalls(sockets), path: proxy.executable, sha256: proxySha256 ?? null })
}

/** What is the same in each run of an action. */
type FixedParts = Readonly<{
  version: string
  profile: CompiledProfile
  head: string
  middle: string
  runAs: string
}>

/** An action never changes, so what was made of it stays right; with the policy, it goes. */
const known = new WeakMap<CompiledAction, FixedParts>()

function fixedParts({ action, version, profile }: Permit | Ask): FixedParts {
  const found = known.get(action)
  if (found?.version === version && found.profile === profile) return found
  const made = {
    version,
    profile,
    head: `{"action":${json(action.id)},"action_version":${json(version)},"argv":`,
    middle:
      `"cwd":${json(action.cwd)},"env":${json(action.env)},"escapable":${json(profile.escapable)},` +
      `"executable":{"path":${json(action.executable)},"sha256":`,
    runAs: json(action.run_as),
  }
  known.set(action, made)
  return made
}

/** Whether an executable of this digest may be run: any, unless the action's `sha256` lists some. */
export function isPinned(action: CompiledAction, sha256: string): boolean {
  return action.sha256.length === 0 || action.sha256.includes(sha256)
}
