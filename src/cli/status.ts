import { formatPrintable } from '../core/audit/printable.ts'
import { BelladonnaError } from '../core/error.ts'
import type { JsonValue } from '../core/json/canonical.ts'
import { sha256Hex } from '../core/json/digest.ts'
import { accountDrift } from '../core/policy/account-drift.ts'
import type { AccountDrift } from '../core/policy/account-drift.ts'
import { parseCompiledPolicy } from '../core/policy/compiled-parse.ts'
import { segmentDigests, segmentNames } from '../core/policy/segments.ts'
import { readAccounts } from '../host/accounts.ts'
import { askBridge } from '../host/bridge-request.ts'
import { bridgePaths } from '../host/layout.ts'
import { ownUid } from '../host/own-uid.ts'
import { loadInstalledPolicy } from '../host/policy-store.ts'
import { listOf, memberOf, membersOf, textOf } from './status-answer.ts'

/**
 * `belladonna status`: what is up, which policy is in force, and what this kernel enforces.
 *
 * @throws {BelladonnaError} `daemon_away`
 */
export async function status(
  root: string,
  json: boolean,
  print: (line: string) => void,
): Promise<number> {
  const paths = bridgePaths(root)
  const inForce = await askBridge(paths.bridgeSocket, '/v1/status')
  const answer = { ...membersOf(inForce), ...driftOf(inForce, paths.policy) }
  if (json) print(JSON.stringify(answer))
  else for (const line of describeStatus(answer)) print(formatPrintable(line))
  return 0
}

/** How what is in force differs from what is installed, and that from this host's accounts. */
type Drift = Readonly<{
  account_drift: readonly AccountDrift[] | null
  policy_drift: readonly string[] | null
}>

/**
 * The segments in which the installed policy differs from the one in force, and the accounts that have another id than when it was
 * installed: then `auth` has drifted too, since the same files would give another policy. Null if something cannot be read.
 * Broker and executor never differ: the broker refuses to start with an executor of another digest.
 */
function driftOf(inForce: JsonValue, directory: string): Drift {
  const policy = memberOf(inForce, 'policy')
  try {
    const { text } = loadInstalledPolicy(directory)
    const compiled = parseCompiledPolicy(text)
    const account_drift = accountDrift(compiled, readAccounts(ownUid()))
    const installed = segmentDigests(compiled)
    const isInForce = sha256Hex(text) === textOf(policy, 'digest')
    const segments = memberOf(policy, 'segments')
    const policy_drift = segmentNames.filter(
      (name) =>
        (name === 'auth' && account_drift.length > 0) ||
        (!isInForce && installed[name] !== textOf(segments, name)),
    )
    return { account_drift, policy_drift }
  } catch (error) {
    if (!(error instanceof BelladonnaError)) throw error
    return { account_drift: null, policy_drift: null }
  }
}

/**
 * The answer as `name: value` lines, nested names joined by a dot; lists on one line, and a line for each profile that says
 * what of its sandbox this host does not enforce.
 */
export function describeStatus(value: JsonValue, name = ''): readonly string[] {
  if (Array.isArray(value) && name === 'profiles') return value.map(describeProfile)
  if (Array.isArray(value) && name === 'account_drift') {
    return [`${name}: ${value.map(describeAccount).join(', ') || 'none'}`]
  }
  if (Array.isArray(value)) return [`${name}: ${value.map(String).join(', ') || 'none'}`]
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, member]) =>
      describeStatus(member, name === '' ? key : `${name}.${key}`),
    )
  }
  return [`${name}: ${String(value)}`]
}

function describeAccount(drift: JsonValue): string {
  const now = textOf(drift, 'now') || 'not there'
  return `${textOf(drift, 'account')} (${textOf(drift, 'installed')}, now ${now})`
}

function describeProfile(profile: JsonValue): string {
  const missing = listOf(profile, 'missing').map(
    (lack) => `${textOf(lack, 'feature')} (${textOf(lack, 'reason')})`,
  )
  const count = listOf(profile, 'in_force').length
  const held = missing.length === 0 ? `all ${count}` : `${count} of ${count + missing.length}`
  const words = [
    `${held} in force`,
    ...missing.map((lack) => `missing ${lack}`),
    ...(memberOf(profile, 'escapable') === true ? ['escapable'] : []),
    ...rootWords(listOf(profile, 'as_good_as_root')),
    ...filteredWords(memberOf(profile, 'filtered')),
  ]
  return `profile ${textOf(profile, 'name')}: ${words.join('; ')}`
}

function rootWords(ways: readonly JsonValue[]): readonly string[] {
  return ways.length === 0 ? [] : [`as good as root by ${ways.map(String).join(', ')}`]
}

function filteredWords(filtered: JsonValue): readonly string[] {
  return Object.entries(membersOf(filtered)).map(([socket, calls]) => {
    const names = Array.isArray(calls) ? calls.map(String) : []
    return `of ${socket} only ${names.join(', ')}`
  })
}
