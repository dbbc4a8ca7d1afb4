import { bridgePaths } from '../host/layout.ts'
import { askBridge } from '../host/bridge-request.ts'
import type { JsonValue } from '../core/json/canonical.ts'

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
  const answer = await askBridge(bridgePaths(root).bridgeSocket, '/v1/status')
  if (json) print(JSON.stringify(answer))
  else for (const line of describeStatus(answer)) print(line)
  return 0
}

/** The answer as `name: value` lines, nested names joined by a dot; lists on one line. */
export function describeStatus(value: JsonValue, name = ''): readonly string[] {
  if (Array.isArray(value)) return [`${name}: ${value.map(String).join(', ') || 'none'}`]
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).flatMap(([key, member]) =>
      describeStatus(member, name === '' ? key : `${name}.${key}`),
    )
  }
  return [`${name}: ${String(value)}`]
}
