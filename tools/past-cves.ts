/**
 * Holds docs/explanation/past-cves.md to the tree: what a row says stands against a CVE must be there. An id such as C12 is a
 * class of tools/abuse-classes.ts that a test bears (one that none bears yet says what it comes with), SU-012 is a string of a
 * test, a path is a file, and a name behind a path, in backquotes or in quotes, stands in such a file.
 */
import { posix } from 'node:path'
import type { AbuseGroup } from './abuse-classes.ts'
import type { Bearers } from './abuse-page.ts'
import { isTestFile } from './tree.ts'
import type { Tree } from './tree.ts'

export const pastCves = 'docs/explanation/past-cves.md'

/** Letters of the column _source_, which the page explains. None of them is memory. */
const sources = /^[SNIA](?:, [SNIA])*$/

export function checkPastCves(
  groups: readonly AbuseGroup[],
  bearers: Bearers,
  tree: Tree,
): readonly string[] {
  const lines = (tree.get(pastCves) ?? '').split('\n')
  const known = new Set(groups.flatMap(({ classes }) => classes.map(({ id }) => id)))
  const tests = [...tree].filter(([path]) => isTestFile(path)).map(([, text]) => text)
  const problems: string[] = []
  let rows = 0
  lines.forEach((line, at) => {
    const isRow = /^\| CVE-/.test(line)
    const [, , , here = '', source = ''] = line.split('|').map((cell) => cell.trim())
    const claims = isRow ? here : line
    const found = [
      ...idProblems(claims, known, bearers),
      ...(claims.match(/\bSU-\d{3}\b/g) ?? [])
        .filter((id) => !tests.some((text) => new RegExp(`['"\` ]${id}\\b`).test(text)))
        .map((id) => `no test bears ${id}`),
      ...fileProblems(claims, tree),
      ...(isRow && here === '' ? ['nothing is said to stand against it'] : []),
      ...(isRow && !sources.test(source) ? [`${source} is no source`] : []),
    ]
    rows += isRow ? 1 : 0
    problems.push(...found.map((problem) => `${pastCves}:${at + 1}: ${problem}`))
  })
  return rows === 0 ? [`${pastCves}: no rows`] : problems
}

function idProblems(text: string, known: ReadonlySet<string>, bearers: Bearers): readonly string[] {
  return [...text.matchAll(/\bC\d{2,3}\b( comes with)?/g)].flatMap(([match, awaited]) => {
    const id = match.split(' ')[0] ?? ''
    if (!known.has(id)) return [`${id} is no class of abuse`]
    if (bearers.has(id) !== (awaited === undefined)) {
      return [awaited === undefined ? `no test bears ${id}` : `a test bears ${id} already`]
    }
    return []
  })
}

/** Paths are what has a folder, or ends as a test does; a name belongs to the paths of its row. */
function fileProblems(text: string, tree: Tree): readonly string[] {
  const quoted = [...text.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word)
  const isPath = (word: string): boolean => /^[\w.-]+(?:\/[\w.-]+)+$|\.test\.ts$/.test(word)
  const paths = quoted.filter(isPath)
  const filesOf = (path: string): readonly string[] =>
    [...tree.keys()].filter(
      (file) => file === path || posix.basename(file) === path || file.startsWith(`${path}/`),
    )
  const files = paths.flatMap(filesOf)
  const isThere = (name: string): boolean =>
    files.some((file) => (tree.get(file) ?? '').includes(name))
  const names = [
    ...quoted.filter((word) => /^[A-Za-z]\w*$/.test(word)),
    ...[...text.matchAll(/“([^”]+)”/g)].map(([, name = '']) => name),
  ]
  return [
    ...paths.filter((path) => filesOf(path).length === 0).map((path) => `no ${path}`),
    ...(paths.length === 0 ? [] : names)
      .filter((name) => !isThere(name))
      .map((name) => `no file of its row has ${name}`),
  ]
}
