/** Code points from the first to the second, both included. */
export type CodePointRange = readonly [first: number, last: number]

/** Ranges in ascending order that neither overlap nor touch: one spelling for each set. */
export type CodePointSet = readonly CodePointRange[]

/** What the text of a parameter may hold beyond its pattern. */
export type TextOptions = Readonly<{ slash: boolean; space: boolean }>

const lastCodePoint = 0x10ffff

// What a reader cannot see, or what turns or joins the text that a reader sees: never part of a value (ABUSE C13, C60).
// Control, format and separator characters, Default_Ignorable_Code_Point, Noncharacter_Code_Point and surrogates of
// Unicode 17, and the empty Braille cell. A fixed list: a table of an installed policy may not depend on who compiled it.
const neverInValues: CodePointSet = [
  [0x00, 0x1f], // C0, with NUL, tab and line ends
  [0x7f, 0xa0], // DEL, C1, no-break space
  [0xad, 0xad], // soft hyphen
  [0x34f, 0x34f], // combining grapheme joiner
  [0x600, 0x605], // Arabic signs that enclose what follows
  [0x61c, 0x61c], // bidirectional mark
  [0x6dd, 0x6dd], // Arabic end of ayah
  [0x70f, 0x70f], // Syriac abbreviation mark
  [0x890, 0x891], // Arabic pound and piastre marks
  [0x8e2, 0x8e2], // Arabic disputed end of ayah
  [0x115f, 0x1160], // Hangul fillers
  [0x1680, 0x1680], // white space
  [0x17b4, 0x17b5], // Khmer inherent vowels
  [0x180b, 0x180f], // Mongolian variation selectors and vowel separator
  [0x2000, 0x200f], // white space, zero width, bidirectional marks
  [0x2028, 0x202f], // line ends, bidirectional overrides, white space
  [0x205f, 0x206f], // white space, invisible operators, bidirectional isolates
  [0x2800, 0x2800], // Braille cell without a dot
  [0x3000, 0x3000], // white space
  [0x3164, 0x3164], // Hangul filler
  [0xd800, 0xdfff], // surrogates
  [0xfdd0, 0xfdef], // noncharacters
  [0xfe00, 0xfe0f], // variation selectors
  [0xfeff, 0xfeff], // byte order mark
  [0xffa0, 0xffa0], // halfwidth Hangul filler
  [0xfff0, 0xfffb], // reserved as ignorable; interlinear annotation
  [0x110bd, 0x110bd], // Kaithi number sign
  [0x110cd, 0x110cd], // Kaithi number sign above
  [0x13430, 0x1343f], // joiners of Egyptian hieroglyphs
  [0x1bca0, 0x1bca3], // shorthand format controls
  [0x1d173, 0x1d17a], // musical beams and slurs
  [0xe0000, 0xe0fff], // tags, variation selectors, and what is reserved for such
  ...Array.from({ length: 17 }, (_, plane): CodePointRange => {
    const end = plane * 0x10000 + 0xffff
    return [end - 1, end] // noncharacters at the end of each plane
  }),
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
