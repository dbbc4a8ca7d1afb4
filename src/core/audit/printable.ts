// Everything that a terminal could obey, or that a reader cannot see: controls, format characters (bidirectional ones
// among them), line and paragraph separators, private use, lone surrogates.
const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu

/**
 * Text that somebody else wrote, as something a terminal may be given: one line, nothing that moves the cursor or turns
 * the direction of writing (ABUSE C60).
 *
 * Each invisible code unit becomes `\u` and four hexadecimal digits, so JSON text stays JSON text of the same meaning.
 */
export function formatPrintable(text: string): string {
  return text.replace(invisible, (found) =>
    Array.from(
      { length: found.length },
      (_, at) => `\\u${found.charCodeAt(at).toString(16).padStart(4, '0')}`,
    ).join(''),
  )
}

/** The same within quotation marks, for text that must not run into ours. */
export function formatQuoted(text: string): string {
  return formatPrintable(JSON.stringify(text))
}
