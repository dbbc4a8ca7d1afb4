// Everything that a terminal could obey, or that a reader cannot see: controls, format characters (bidirectional ones
// among them), what is shown as nothing (fillers, variation selectors), line and paragraph separators, private use, lone
// surrogates, and what is no character.
const invisible =
  /[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\p{Noncharacter_Code_Point}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu

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

// Tabs and line ends are ours to write; a carriage return is part of a line end or goes back to write over the line.
const commands =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)/g

/**
 * Lines of ours as a terminal may be given them, whatever names of files, messages of the system and answers of others they
 * hold: nothing that moves the cursor or turns the direction of writing. JSON text stays JSON text of the same meaning.
 */
export function formatTerminal(lines: string): string {
  return lines.replace(
    commands,
    (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
