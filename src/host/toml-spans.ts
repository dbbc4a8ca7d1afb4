import { parseTOML } from 'toml-eslint-parser'
import type { AST } from 'toml-eslint-parser'
import type { HeaderSpan, PairSpan, TomlSpans } from '../core/configuration/migration.ts'

/** Where everything stands in a text that `readTomlTree` has read. A byte order mark must be cut off. */
export function findTomlSpans(text: string): TomlSpans {
  const pairs: PairSpan[] = []
  const headers: HeaderSpan[] = []
  const addPair = (
    entry: AST.TOMLKeyValue,
    above: readonly string[],
    header: number | null,
    inline: number | null,
  ): void => {
    const path = [...above, ...namesOf(entry.key)]
    const [start, end] = entry.range
    const own = pairs.push({ path, start, end, header, inline }) - 1
    if (entry.value.type !== 'TOMLInlineTable') return
    for (const inner of entry.value.body) addPair(inner, path, header, own)
  }
  const [program] = parseTOML(text, { tomlVersion: '1.0' }).body
  for (const item of program.body) {
    if (item.type === 'TOMLKeyValue') addPair(item, [], null, null)
    else {
      const path = namesOf(item.key)
      const last = item.key.range[1]
      const end = last + (/^\s*\]+/.exec(text.slice(last))?.[0].length ?? 0)
      const header = headers.push({ path, start: item.range[0], end }) - 1
      for (const entry of item.body) addPair(entry, path, header, null)
    }
  }
  return { pairs, headers }
}

function namesOf(key: AST.TOMLKey): readonly string[] {
  return key.keys.map((part) => (part.type === 'TOMLBare' ? part.name : part.value))
}
