/** The value below which the share `share` (0 to 1) of `values` lies: nearest rank, no interpolation. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  const value = sorted[rank - 1]
  if (value === undefined) throw new RangeError('percentile of nothing')
  return value
}

/** A ratio of two sides that were measured in turns. */
export type Ratio = Readonly<{
  value: number
  /** Quartiles over the rounds; null where the ratio is of two figures of the whole run. */
  spread: readonly [number, number] | null
}>

/** The median over rounds of `ours` by `theirs`: what disturbs a round disturbs both of its sides. */
export function ratioPerRound(ours: readonly number[], theirs: readonly number[]): Ratio {
  if (ours.length !== theirs.length) throw new RangeError('rounds of different length')
  const ratios = ours.map((value, round) => value / (theirs[round] ?? NaN))
  return {
    value: percentile(ratios, 0.5),
    spread: [percentile(ratios, 0.25), percentile(ratios, 0.75)],
  }
}

/** The ratio of a percentile of all rounds; a percentile of single rounds does not exist. */
export function ratioOfPercentiles(
  ours: readonly number[],
  theirs: readonly number[],
  share: number,
): Ratio {
  return { value: percentile(ours, share) / percentile(theirs, share), spread: null }
}
