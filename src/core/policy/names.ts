import { isIdentifier } from '../protocol/request.ts'
import { quote } from '../toml/problem.ts'
import { readParsed } from '../toml/reader.ts'
import type { Read, Report } from '../toml/reader.ts'
import { suggestionFor } from '../toml/suggestion.ts'
import type { Located } from '../toml/tree.ts'

const idRule =
  'a name of a-z, 0-9, ".", "_" and "-", first a letter or digit, at most 64 characters'

const readName = readParsed((text) => (isIdentifier(text) ? text : undefined), idRule)

/**
 * Whether a service or scope of systemd may be called so: the only kinds of unit that clients run in.
 *
 * @see systemd.unit(5), "Description"
 */
export function isUnitName(text: string): boolean {
  return text.length <= 255 && /^[A-Za-z0-9:_.\\@-]+\.(?:service|scope)$/.test(text)
}

/** Reads a name that must be defined in some file of the policy. */
export function readReference(
  kind: 'profile' | 'approvers' | 'action',
  known: ReadonlySet<string>,
): Read<string> {
  return (report, node) => {
    const name = readName(report, node)
    if (name === null || known.has(name)) return name
    const message = `no ${kind} ${quote(name)} in this policy`
    return report.add(node, `${kind}_unknown`, message, suggestionFor(name, known))
  }
}

/** Whether the key may be a name; if not, that is reported. */
export function isName(report: Report, key: Located<string>): boolean {
  if (isIdentifier(key.value)) return true
  report.add(key, 'value_invalid', `expected ${idRule}, not ${quote(key.value)}`)
  return false
}
