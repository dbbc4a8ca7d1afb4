/**
 * The candidate that `word` was probably meant to be, or undefined: at most one edit for short words, two for longer.
 *
 * An edit is a letter more, less or different, or two neighbours swapped.
 */
export function suggestionFor(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = word.length < 5 ? 2 : 3
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) >= bestDistance) continue
    const distance = editDistance(word, candidate)
    if (distance >= bestDistance) continue
    best = candidate
    bestDistance = distance
  }
  return best
}

/** The same where only the part of `text` that `part` matches is one of the candidates. */
export function suggestionWithin(
  text: string,
  part: RegExp,
  candidates: readonly string[],
): string | undefined {
  const [word] = part.exec(text) ?? []
  if (word === undefined || candidates.includes(word)) return undefined
  const meant = suggestionFor(word, candidates)
  return meant === undefined ? undefined : text.replace(part, () => meant)
}

/** Optimal string alignment, row by row; bounded because names and keys are. */
function editDistance(a: string, b: string): number {
  let beforeLast: readonly number[] = []
  let last: readonly number[] = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row]
    for (let column = 1; column <= b.length; column += 1) {
      const same = a[row - 1] === b[column - 1]
      const swapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      current.push(
        Math.min(
          at(last, column) + 1,
          at(current, column - 1) + 1,
          at(last, column - 1) + (same ? 0 : 1),
          swapped ? at(beforeLast, column - 2) + 1 : Infinity,
        ),
      )
    }
    beforeLast = last
    last = current
  }
  return at(last, b.length)
}

function at(row: readonly number[], column: number): number {
  return Number(row[column])
}
