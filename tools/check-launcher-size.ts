/**
 * The launcher is the C that runs as root, and its reviewers must be able to read all of it: at most 2,000 lines (ADR 0012 says why not
 * 1,500). Blank
 * lines and comments do not count, so that nobody saves on those; lines that are packed full do not help either.
 */
import { readTree, report } from './tree.ts'
import type { Tree } from './tree.ts'

const maxLines = 2000
const maxLineLength = 120

export function checkLauncherSize(tree: Tree): readonly string[] {
  const files = [...tree].filter(([path]) => /^native\/launcher\/[^/]+\.[ch]$/.test(path))
  const count = files.reduce((sum, [, text]) => sum + codeLines(text), 0)
  const problems = files.flatMap(([path, text]) =>
    text.split('\n').flatMap((line, at) => checkLine(`${path}:${at + 1}`, line)),
  )
  return count > maxLines ? [`${count} lines of C, at most ${maxLines}`, ...problems] : problems
}

function codeLines(text: string): number {
  return text
    .replaceAll(/\/\*.*?\*\//gs, '')
    .split('\n')
    .filter((line) => line.trim() !== '').length
}

function checkLine(place: string, line: string): readonly string[] {
  if (line.length > maxLineLength) return [`${place}: over ${maxLineLength} columns`]
  const statements = line.replaceAll(/"[^"]*"|'[^']*'|for \(.*?\)|\/\*.*?\*\//g, '').split(';')
  return statements.length > 3 ? [`${place}: more than two statements in a line`] : []
}

if (import.meta.main) report('launcher size', checkLauncherSize(readTree()))
