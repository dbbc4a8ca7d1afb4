/**
 * Keeps files small enough to hold in the head, and their names honest: what is called "utils" takes in anything.
 *
 * A file that must be long says why in its first ten lines: `over 400 lines: REASON`.
 */
import { basename } from 'node:path'
import { readTree, report } from './tree.ts'
import type { Tree } from './tree.ts'

const maxLines = 400
const excuse = /over 400 lines: \S+/
const source = /^(?:src|native|test|tools|bench)\/.*\.(?:ts|js|c|h)$/
const wellNamed = /^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9-]+)*$/
const emptyWords = new Set([
  'utils',
  'util',
  'helpers',
  'helper',
  'common',
  'manager',
  'service',
  'base',
])
/** A program of the operating system is called a service everywhere; these name one. */
const allowedNames = new Set(['plan-for-service', 'service'])

export function checkSizes(tree: Tree): readonly string[] {
  return [...tree]
    .filter(([path]) => source.test(path))
    .flatMap(([path, text]) => [...checkLength(path, text), ...checkName(path)])
}

function checkLength(path: string, text: string): readonly string[] {
  const lines = text.split('\n')
  const count = lines.length - 1
  if (count <= maxLines || excuse.test(lines.slice(0, 10).join('\n'))) return []
  return [`${path}: ${count} lines, at most ${maxLines} (or say why: "over 400 lines: …")`]
}

function checkName(path: string): readonly string[] {
  const name = basename(path)
  if (!wellNamed.test(name)) return [`${path}: file names are kebab-case nouns`]
  const stem = name.split('.')[0] ?? name
  const empty = stem.split('-').find((word) => emptyWords.has(word))
  if (empty === undefined || allowedNames.has(stem)) return []
  return [`${path}: ${JSON.stringify(empty)} says nothing; name what it holds`]
}

if (import.meta.main) report('sizes', checkSizes(readTree()))
