/**
 * Keeps the documents true where a machine can: links lead somewhere, examples parse, every error code is explained and no
 * page explains one that is gone, and the man pages are good mdoc.
 */
import { spawnSync } from 'node:child_process'
import { posix } from 'node:path'
import { parse as parseToml } from 'smol-toml'
import { anchorsOf, codeRowsOf, fencesOf, linksOf } from './markdown.ts'
import type { Fence } from './markdown.ts'
import { readTree, report } from './tree.ts'
import type { Tree } from './tree.ts'

const errorTable = 'docs/reference/errors.md'
const unions = [
  { file: 'src/core/error.ts', name: 'ErrorCode' },
  { file: 'src/core/refusal.ts', name: 'RefusalCode' },
]

export function checkDocs(tree: Tree): readonly string[] {
  const pages = [...tree].filter(([path]) => path.endsWith('.md'))
  return [
    ...pages.flatMap(([path, text]) => [
      ...checkLinks(tree, path, text),
      ...checkBlocks(path, text),
    ]),
    ...checkErrorTable(tree),
    ...[...tree].flatMap(([path, text]) =>
      /^man\/.*\.[1-8]$/.test(path) ? checkManual(path, text) : [],
    ),
  ]
}

function checkLinks(tree: Tree, path: string, text: string): readonly string[] {
  const directories = new Set([...tree.keys()].flatMap(parentsOf))
  return linksOf(text).flatMap(({ target, line }) => {
    if (/^[a-z][a-z+.-]*:/.test(target)) return []
    const [file = '', fragment] = target.split('#')
    const page = file === '' ? path : posix.join(posix.dirname(path), file).replace(/\/$/, '')
    if (!tree.has(page) && !directories.has(page)) return [`${path}:${line}: no ${page}`]
    if (fragment === undefined || !page.endsWith('.md')) return []
    return anchorsOf(tree.get(page) ?? '').has(fragment)
      ? []
      : [`${path}:${line}: ${page} has no #${fragment}`]
  })
}

function parentsOf(path: string): readonly string[] {
  const parts = path.split('/').slice(0, -1)
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'))
}

function checkBlocks(path: string, text: string): readonly string[] {
  return fencesOf(text).flatMap((fence) => {
    const problem = parseProblem(fence)
    return problem === undefined ? [] : [`${path}:${fence.line}: ${fence.language}: ${problem}`]
  })
}

/** Shell that shows a session, with prompts and output, is labelled `console` or `text` and not parsed. */
function parseProblem({ language, text }: Fence): string | undefined {
  try {
    if (language === 'json') JSON.parse(text)
    if (language === 'toml') parseToml(text)
  } catch (error) {
    return error instanceof Error ? error.message.split('\n')[0] : 'does not parse'
  }
  if (language !== 'sh') return undefined
  const shell = spawnSync('sh', ['-n'], { input: text, encoding: 'utf8' })
  return shell.status === 0 ? undefined : shell.stderr.trim()
}

function checkErrorTable(tree: Tree): readonly string[] {
  const codes = unions.flatMap(({ file, name }) => membersOf(tree.get(file) ?? '', name))
  const rows = codeRowsOf(tree.get(errorTable) ?? '')
  return [
    ...unions.flatMap(({ file, name }) =>
      membersOf(tree.get(file) ?? '', name).length === 0 ? [`${file}: no union ${name} found`] : [],
    ),
    ...[...new Set(codes)]
      .filter((code) => times(rows, code) < times(codes, code))
      .map((code) => `${errorTable}: no row for ${code}`),
    ...rows
      .filter((row) => !codes.includes(row))
      .map((row) => `${errorTable}: no such code ${row}`),
    ...[...new Set(rows)]
      .filter((row) => codes.includes(row) && times(rows, row) > times(codes, row))
      .map((row) => `${errorTable}: ${row} has a row too many`),
  ]
}

/** How often: a name that is in both unions has two rows. */
function times(list: readonly string[], name: string): number {
  return list.filter((one) => one === name).length
}

/** Members of `export type NAME = | 'a' | 'b'`, each on its own line. */
export function membersOf(source: string, name: string): readonly string[] {
  const [, body = ''] =
    new RegExp(`^export type ${name} =\\n((?: *(?:\\||//).*\\n)+)`, 'm').exec(source) ?? []
  return [...body.matchAll(/^ *\| '([a-z0-9_]+)'/gm)].map(([, member = '']) => member)
}

function checkManual(path: string, text: string): readonly string[] {
  const lint = spawnSync('mandoc', ['-Tlint', '-Wwarning'], { input: text, encoding: 'utf8' })
  if (lint.error !== undefined) return [`${path}: mandoc did not run: ${lint.error.message}`]
  return lint.status === 0 ? [] : [`${path}: ${lint.stdout.trim()}`]
}

if (import.meta.main) report('docs', checkDocs(readTree()))
