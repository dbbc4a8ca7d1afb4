const durationUnits: ReadonlyMap<string, number> = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

const sizeUnits: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['K', 1024],
  ['M', 1024 ** 2],
  ['G', 1024 ** 3],
])

/** What the kernel shows for ids that a user namespace does not map. It stands for anybody, and so for nobody. */
export const overflowId: number = 65534

/** Milliseconds of a duration like `30s`: a count without leading zero and one of ms, s, m, h, d. */
export function parseDurationMs(text: string): number | undefined {
  return parseQuantity(/^([1-9][0-9]{0,8})(ms|s|m|h|d)$/, durationUnits, text)
}

/** Bytes of a size like `256M`: a count without leading zero and nothing, K, M or G (powers of 1024). */
export function parseByteSize(text: string): number | undefined {
  return parseQuantity(/^([1-9][0-9]{0,8})([KMG]?)$/, sizeUnits, text)
}

/**
 * An account's number as in `uid:1000`: decimal, without sign, white space or leading zero, at most 4294967294.
 *
 * Undefined also for 4294967295, which setresuid(2) reads as "leave unchanged" (ABUSE C04).
 */
export function parseAccountNumber(text: string): number | undefined {
  if (!/^(?:0|[1-9][0-9]{0,9})$/.test(text)) return undefined
  const number = Number(text)
  return number <= 0xffff_fffe ? number : undefined
}

function parseQuantity(
  pattern: RegExp,
  units: ReadonlyMap<string, number>,
  text: string,
): number | undefined {
  const [, count, unit = ''] = pattern.exec(text) ?? []
  const factor = units.get(unit)
  return count === undefined || factor === undefined ? undefined : Number(count) * factor
}
