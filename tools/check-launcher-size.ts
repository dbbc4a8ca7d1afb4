/**
 * The launcher is the C that runs as root, and its reviewers must be able to read all of it: each half in one sitting (ADR
 * 0012). Blank lines and comments do not count, so that nobody saves on those; lines that are packed full do not help
 * either.
 */
import { readTree, report } from './tree.ts'
import type { Tree } from './tree.ts'

/** By folder: what keeps its privileges, the child that drops them, what both read and send frames with, and the relay. */
const maxLines: readonly (readonly [folder: string, lines: number])[] = [
  ['native/launcher', 1910],
  ['native/sandbox', 970],
  ['native/frame', 150],
  ['native/relay', 540],
]
const maxLineLength = 120

export function checkLauncherSize(tree: Tree): readonly string[] {
  return maxLines.flatMap(([folder, most]) => checkFolder(tree, folder, most))
}

function checkFolder(tree: Tree, folder: string, most: number): readonly string[] {
  const isInside = (path: string): boolean => {
    return path.startsWith(`${folder}/`) && /^[^/]+\.[ch]$/.test(path.slice(folder.length + 1))
  }
  const files = [...tree].filter(([path]) => isInside(path))
  const count = files.reduce((sum, [, text]) => sum + codeLines(text), 0)
  const problems = files.flatMap(([path, text]) =>
    text.split('\n').flatMap((line, at) => checkLine(`${path}:${at + 1}`, line)),
  )
  return count > most ? [`${folder}: ${count} lines of C, at most ${most}`, ...problems] : problems
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
