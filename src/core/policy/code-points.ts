/** Code points from the first to the second, both included. */
export type CodePointRange = readonly [first: number, last: number]

/** Ranges in ascending order that neither overlap nor touch: one spelling for each set. */
export type CodePointSet = readonly CodePointRange[]

/** What the text of a parameter may hold beyond its pattern. */
export type TextOptions = Readonly<{ slash: boolean; space: boolean }>

const lastCodePoint = 0x10ffff

// What a reader cannot see, or what turns the text that a reader sees: never part of a value (ABUSE C13, C60).
const neverInValues: CodePointSet = [
  [0x00, 0x1f], // C0, with NUL, tab and line ends
  [0x7f, 0xa0], // DEL, C1, no-break space
  [0x061c, 0x061c], // bidirectional mark
  [0x1680, 0x1680], // white space
  [0x2000, 0x200f], // white space, zero width, bidirectional marks
  [0x2028, 0x202f], // line ends, bidirectional overrides, white space
  [0x205f, 0x206f], // white space, invisible operators, bidirectional isolates
  [0x3000, 0x3000], // white space
  [0xd800, 0xdfff], // surrogates
  [0xfeff, 0xfeff], // byte order mark
  [0xfff9, 0xfffb], // interlinear annotation
]

/** Brings ranges in any order into the form of a set. */
export function unionOf(ranges: readonly CodePointRange[]): CodePointSet {
  const set: CodePointRange[] = []
  for (const [first, last] of ranges.toSorted(([a], [b]) => a - b)) {
    const before = set.at(-1)
    if (before === undefined || before[1] + 1 < first) set.push([first, last])
    else set[set.length - 1] = [before[0], Math.max(before[1], last)]
  }
  return set
}

/** All code points that are not in the set. */
export function complementOf(set: CodePointSet): CodePointSet {
  const gaps: CodePointRange[] = []
  let next = 0
  for (const [first, last] of set) {
    if (first > next) gaps.push([next, first - 1])
    next = last + 1
  }
  if (next <= lastCodePoint) gaps.push([next, lastCodePoint])
  return gaps
}

/** What is in both sets. */
export function intersectionOf(a: CodePointSet, b: CodePointSet): CodePointSet {
  return complementOf(unionOf([...complementOf(a), ...complementOf(b)]))
}

/** The characters that may occur in a value at all. */
export function valueAlphabet(options: TextOptions): CodePointSet {
  const never = [...neverInValues]
  if (!options.slash) never.push([0x2f, 0x2f])
  if (!options.space) never.push([0x20, 0x20])
  return complementOf(unionOf(never))
}

/** Whether each character of the text is in the set. */
export function isWithin(set: CodePointSet, text: string): boolean {
  return Array.from(text, (character) => character.codePointAt(0)).every((point) =>
    set.some(([first, last]) => point !== undefined && first <= point && point <= last),
  )
}
