import type { CleanPath } from '../identity.ts'
import type { DbusCall } from '../policy/dbus-call.ts'
import { busSocket } from './bus-place.ts'
import type { FilteredSocket } from './bus-place.ts'

/**
 * The words that start the proxy. It says over its stdout when all sockets are there, and ends when nobody reads that.
 *
 * Of its rules only `--call` with a whole name and member: each else would let more through than one method.
 *
 * @see xdg-dbus-proxy(1)
 */
export function proxyArguments(sockets: readonly FilteredSocket[]): readonly string[] {
  return [
    ...['xdg-dbus-proxy', '--fd=1'],
    ...sockets.flatMap(({ path, calls }, index) => [
      ...[`unix:path=${escapeAddress(path)}`, busSocket(index), '--filter'],
      ...calls.map(callRule),
    ]),
  ]
}

function callRule(call: DbusCall): string {
  const at = call.path === null ? '' : `@${call.path}`
  return `--call=${call.name}=${call.interface}.${call.member}${at}`
}

/** A path as a part of an address: of other bytes each as `%` and two digits (D-Bus Specification, "Server Addresses"). */
function escapeAddress(path: CleanPath): string {
  const bytes = [...new TextEncoder().encode(path)]
  return bytes
    .map((byte) => {
      const character = String.fromCharCode(byte)
      return /[-0-9A-Za-z_/.]/.test(character)
        ? character
        : `%${byte.toString(16).padStart(2, '0')}`
    })
    .join('')
}
