import { callsOfElement, syscallElements, syscallSetNames } from '../sandbox/syscall-sets.ts'
import { quote } from '../toml/problem.ts'
import type { ProfileSource } from './profile-source.ts'
import { compareText, readList, readText, readWord } from '../toml/reader.ts'
import type { Read } from '../toml/reader.ts'
import { suggestionFor } from '../toml/suggestion.ts'

const maxElements = 512

/** Reads `syscalls`: the name of a set, or a list of calls and `@groups`. */
export const readSyscalls: Read<ProfileSource['syscalls']> = (report, node) => {
  if (node.kind !== 'array') return readWord(syscallSetNames)(report, node)
  if (node.value.length === 0) {
    return report.add(node, 'value_invalid', 'expected at least one system call')
  }
  const lists = readList(readElement, maxElements)(report, node)
  return lists && [...new Set(lists.flat())].sort(compareText)
}

const readElement: Read<readonly string[]> = (report, node) => {
  const name = readText(report, node)
  if (name === null) return null
  const element = callsOfElement(name)
  if (element?.kind === 'calls') return element.calls
  if (element?.kind === 'never') {
    return report.add(node, 'syscall_denied', `${quote(name)} is refused to every run`)
  }
  const message = `no system call and no @group ${quote(name)} in Linux 6.18`
  return report.add(node, 'syscall_unknown', message, suggestionFor(name, syscallElements()))
}
