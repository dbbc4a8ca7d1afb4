/** An element of argv: fixed text, or one parameter's value between two fixed texts. */
export type TemplateElement =
  | Readonly<{ kind: 'literal'; text: string }>
  | Readonly<{ kind: 'parameter'; before: string; name: string; after: string }>

/** What is wrong with an element, in words. */
export type TemplateFault = Readonly<{ kind: 'fault'; message: string }>

/**
 * Whether a parameter may be called so: as an action may, but for the first character, so that a name on a command line
 * is neither a number nor an option.
 */
export function isParameterName(text: string): boolean {
  return /^[a-z][a-z0-9._-]{0,63}$/.test(text)
}

/**
 * Reads an element of `command`: `{name}` stands for a value, `{{` and `}}` for the braces themselves.
 *
 * At most one parameter: a value never meets another one within an element, and fills no second element.
 */
export function parseTemplateElement(text: string): TemplateElement | TemplateFault {
  let before = ''
  let literal = ''
  let name: string | undefined
  // Alternatives that exclude each other by their first characters: linear in the text.
  for (const [token] of text.matchAll(/\{\{|\}\}|\{[^{}]*\}|[{}]|[^{}]+/g)) {
    if (token === '{{' || token === '}}') literal += token.charAt(0)
    else if (token === '{' || token === '}') {
      return {
        kind: 'fault',
        message: `a single "${token}"; the character itself is "${token}${token}"`,
      }
    } else if (!token.startsWith('{')) literal += token
    else if (name !== undefined) {
      return { kind: 'fault', message: 'more than one parameter in one argument' }
    } else {
      name = token.slice(1, -1)
      before = literal
      literal = ''
    }
  }
  if (name === undefined) return { kind: 'literal', text: literal }
  if (!isParameterName(name)) {
    return { kind: 'fault', message: `"{${name}}" names no parameter that could exist` }
  }
  return { kind: 'parameter', before, name, after: literal }
}

/** The arguments that an element becomes: one for each value of its parameter. */
export function renderElement(
  element: TemplateElement,
  values: ReadonlyMap<string, readonly string[]>,
): readonly string[] {
  if (element.kind === 'literal') return [element.text]
  const { before, name, after } = element
  return (values.get(name) ?? []).map((value) => `${before}${value}${after}`)
}
