/** Patterns for tests. */
import fc from 'fast-check'

const { pattern } = fc.letrec<{ pattern: string; atom: string }>((tie) => ({
  pattern: fc
    .array(
      fc.array(tie('atom'), { maxLength: 3 }).map((parts) => parts.join('')),
      {
        minLength: 1,
        maxLength: 3,
      },
    )
    .map((options) => options.join('|')),
  atom: fc
    .tuple(
      fc.oneof(
        { maxDepth: 3, withCrossShrink: true },
        fc.constantFrom(
          'a',
          'b',
          '-',
          'é',
          '😀',
          '.',
          '\\.',
          '\\\\',
          '\\d',
          '\\D',
          '\\w',
          '\\W',
          '/',
          ' ',
        ),
        fc.constantFrom(
          '[ab]',
          '[^a]',
          '[a-f0-9]',
          '[-a]',
          '[b-]',
          '[\\d.]',
          '[\\W]',
          '[\\]é-ü]',
          '[^\\w]',
        ),
        tie('pattern').map((inner) => `(${inner})`),
        tie('pattern').map((inner) => `(?:${inner})`),
      ),
      fc.constantFrom('', '', '', '*', '+', '?', '{2}', '{0,2}', '{1,3}', '{2,}', '{0}'),
    )
    .map(([atom, repeat]) => atom + repeat),
}))

/** Patterns of our subset, by its grammar. */
export const anyPattern: fc.Arbitrary<string> = pattern
