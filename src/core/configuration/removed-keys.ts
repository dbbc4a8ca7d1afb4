import { quote } from '../toml/problem.ts'
import type { Report } from '../toml/reader.ts'
import type { TomlEntry, TomlNode, TomlTable } from '../toml/tree.ts'

/** Keys of earlier versions, and why there is nothing in their place. Whoever removes a key adds it here. */
export const removedKeys: ReadonlyMap<string, string> = new Map([
  [
    'allow_legacy_tokens',
    'tokens with a pseudo-signature prove nothing, and are refused wherever they come from',
  ],
])

/**
 * The table without removed keys, at any depth, each of them reported with the command that migrates the file. A table that
 * held nothing else goes with them.
 */
export function withoutRemovedKeys(report: Report, table: TomlTable): TomlTable {
  const value = table.value.flatMap((entry): readonly TomlEntry[] => {
    const { key, node } = entry
    const why = removedKeys.get(key.value)
    if (why !== undefined) {
      const command = `belladonna dev migrate-config ${quote(key.file)}`
      report.add(key, 'key_removed', `${quote(key.value)} was removed: ${why}; \`${command}\``)
      return []
    }
    const kept = withoutRemovedIn(report, node)
    const isEmptied = kept !== node && kept.kind === 'table' && kept.value.length === 0
    return isEmptied ? [] : [{ key, node: kept }]
  })
  return value.length === table.value.length &&
    value.every((entry, at) => entry.node === table.value[at]?.node)
    ? table
    : { ...table, value }
}

function withoutRemovedIn(report: Report, node: TomlNode): TomlNode {
  if (node.kind === 'table') return withoutRemovedKeys(report, node)
  if (node.kind !== 'array') return node
  const value = node.value.map((item) => withoutRemovedIn(report, item))
  return value.every((item, at) => item === node.value[at]) ? node : { ...node, value }
}
