import { isRead } from './automaton.ts'
import { complementOf, intersectionOf, valueAlphabet } from './code-points.ts'
import type { CodePointSet } from './code-points.ts'
import type { CompiledParameter } from './compiled.ts'
import { pathBounds } from './granted-path.ts'
import { parsePattern } from './pattern.ts'
import type { PatternNode } from './pattern.ts'
import { patternOfTable } from './table-pattern.ts'
import { isUnambiguous } from './unambiguous.ts'

/** Regular expressions of ECMAScript with the flag `u`: a text is a value if the first finds something and the second nothing. */
export type EcmaPattern = Readonly<{ pattern: string; never: string | null }>

const everything: CodePointSet = complementOf([])

/**
 * What a `match` parameter accepts, but for its length, in the words of JSON Schema.
 *
 * Whoever uses it has an engine that goes back and tries again, and gives it texts that somebody else wrote. So where the
 * author's pattern matches a text in more than one way, one is made of its table that does not; the time is then bounded by the
 * length. null where that would be too long: the text is then only held against its length, and by us against the table.
 *
 * A class of ours reads only what a value may hold. That is kept apart, in `never`, and left out where no class of the
 * pattern reaches beyond it.
 *
 * @see ECMA-262, "Patterns"; RFC 9485 for what other engines make of them
 */
export function ecmaPatternOf({
  pattern,
  table,
  leading_dash,
}: Extract<CompiledParameter, { kind: 'match' }>): EcmaPattern | null {
  const alphabet = valueAlphabet({ slash: isRead(table, '/'), space: isRead(table, ' ') })
  const dash = leading_dash ? '' : '(?!-)'
  const own = parsePattern(pattern, everything)
  const node = isUnambiguous(own) ? own : patternOfTable(table, complementOf(alphabet))
  if (node === null) return null
  return {
    pattern: `^${dash}${node.kind === 'choice' ? format(node) : `(?:${format(node)})`}$`,
    never: isWithinSet(node, alphabet) ? null : `[${formatRanges(complementOf(alphabet))}]`,
  }
}

function isWithinSet(node: PatternNode, alphabet: CodePointSet): boolean {
  switch (node.kind) {
    case 'set':
      return intersectionOf(node.set, complementOf(alphabet)).length === 0
    case 'sequence':
      return node.parts.every((part) => isWithinSet(part, alphabet))
    case 'choice':
      return node.options.every((option) => isWithinSet(option, alphabet))
    case 'repeat':
      return isWithinSet(node.part, alphabet)
  }
}

function format(node: PatternNode): string {
  switch (node.kind) {
    case 'set':
      return formatSet(node.set)
    case 'sequence':
      return node.parts.map(format).join('')
    case 'choice':
      return `(?:${node.options.map(format).join('|')})`
    case 'repeat':
      return format(node.part) + formatCounts(node.min, node.max)
  }
}

function formatCounts(min: number, max: number | null): string {
  if (min === 0 && max === 1) return '?'
  return max === null ? `{${String(min)},}` : `{${String(min)},${String(max)}}`
}

function formatSet(set: CodePointSet): string {
  const [[first, last] = [0, 0]] = set
  if (set.length === 1 && first === last) return formatPoint(first, syntax)
  const rest = complementOf(set)
  // "." leaves out line ends, and so does every value.
  if (rest.length === 0) return '.'
  return rest.length < set.length ? `[^${formatRanges(rest)}]` : `[${formatRanges(set)}]`
}

function formatRanges(set: CodePointSet): string {
  return set
    .map(([first, last]) => {
      const [low, high] = [formatPoint(first, classSyntax), formatPoint(last, classSyntax)]
      if (first === last) return low
      return first + 1 === last ? low + high : `${low}-${high}`
    })
    .join('')
}

const syntax: ReadonlySet<string> = new Set('^$\\.*+?()[]{}|/')
const classSyntax: ReadonlySet<string> = new Set('\\]^-[')

/**
 * Printable ASCII as it is, everything else by its number, in four digits where that is enough: `\u{…}` is ECMAScript's alone, and
 * others (Python) refuse a schema with it. For what needs more digits the character itself is all that everybody reads alike.
 */
function formatPoint(point: number, escaped: ReadonlySet<string>): string {
  const character = String.fromCodePoint(point)
  if (escaped.has(character)) return `\\${character}`
  if ((point > 0x20 && point < 0x7f) || point > 0xffff) return character
  return `\\u${point.toString(16).padStart(4, '0')}`
}

/** What a `path` parameter accepts, but for its length and that of its parts in bytes. */
export const ecmaPath: EcmaPattern = {
  pattern: `^(?!-)(?!(?:[\\s\\S]*\\/)?\\.{0,2}(?:\\/|$))(?![\\s\\S]*(?:\\/[^\\/]*){${String(pathBounds.parts)}})`,
  never: `[${formatRanges(complementOf(valueAlphabet({ slash: true, space: true })))}]`,
}
