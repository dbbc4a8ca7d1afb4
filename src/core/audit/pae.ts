const encoder = new TextEncoder()

/**
 * Pre-authentication encoding: what is really signed, so that bytes of one type never pass for another's.
 *
 * Lengths are of the UTF-8 bytes. Nothing that we sign elsewhere starts with `DSSEv1 `: a checkpoint starts with its
 * origin (ABUSE C49).
 *
 * @see https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md
 */
export function dssePae(payloadType: string, payload: string): Uint8Array {
  const typeBytes = String(encoder.encode(payloadType).length)
  const payloadBytes = String(encoder.encode(payload).length)
  return encoder.encode(`DSSEv1 ${typeBytes} ${payloadType} ${payloadBytes} ${payload}`)
}
