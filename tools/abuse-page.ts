/**
 * Makes docs/reference/abuse.md: for each class of bugs the tests that bear its id, or why there is none.
 *
 *     sh tools/run tools/abuse-page.ts [--write]
 *
 * A test bears an id when a string in a test file, or in a vector below spec/, has it; so an id is always written out, never
 * computed. That such a string is really the name of a test is seen by `checkBorne`, over the names that Node's runner reports
 * (tools/test-names.ts). Without --write it fails when the page is stale, when a test bears an id that the table does not
 * have, and when the table says "tested" and no test bears the id.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format } from 'prettier'
import { abuseGroups } from './abuse-classes.ts'
import type { AbuseClass, AbuseGroup } from './abuse-classes.ts'
import { checkPastCves } from './past-cves.ts'
import { isTestFile, readTree, report, root } from './tree.ts'
import type { Tree } from './tree.ts'

/** Titles by id, each with the file that it stands in. */
export type Bearers = ReadonlyMap<string, readonly Readonly<{ path: string; title: string }>[]>

const page = 'docs/reference/abuse.md'
const idPattern = /\bC[0-9]{2,3}\b/g

/** The ids in one text, in their order. */
function idsIn(text: string): readonly string[] {
  return [...text.matchAll(idPattern)].map(([id]) => id)
}

/** Every string with an id in a test of ours. The tests of this very check speak of ids that they do not bear. */
export function findBearers(tree: Tree): Bearers {
  const bearers = new Map<string, { path: string; title: string }[]>()
  for (const [path, text] of tree) {
    if (!bearsIds(path)) continue
    for (const title of stringsIn(text)) {
      for (const id of new Set(idsIn(title))) {
        const known = bearers.get(id) ?? []
        bearers.set(id, [...known, { path, title }])
      }
    }
  }
  return bearers
}

function bearsIds(path: string): boolean {
  if (path.startsWith('spec/vectors/')) return path.endsWith('.json')
  return (
    isTestFile(path) &&
    path.endsWith('.ts') &&
    !/^tools\/(?:abuse-page|past-cves)\.test\.ts$/.test(path)
  )
}

/** Strings of one line each, which is what Prettier leaves; lines of comments are none. */
function stringsIn(text: string): readonly string[] {
  const literal = /'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g
  return text
    .split('\n')
    .filter((line) => !/^\s*(?:\/\/|\/?\*)/.test(line))
    .flatMap((line) => [...line.matchAll(literal)].map(([, a, b, c]) => a ?? b ?? c ?? ''))
}

/** @returns a problem for each class whose state is not true, and for each id that no class has */
export function checkClasses(
  groups: readonly AbuseGroup[],
  bearers: Bearers,
  tree: Tree,
): readonly string[] {
  const classes = groups.flatMap((group) => group.classes)
  const known = new Set(classes.map(({ id }) => id))
  const dangling = [...bearers].filter(([id]) => !known.has(id))
  const empty = [...bearers].flatMap(([id, titles]) =>
    titles
      .filter(({ title }) => !/[A-Za-z0-9]/.test(title.replaceAll(idPattern, '')))
      .map((bearer) => ({ id, ...bearer })),
  )
  return [
    ...dangling.map(([id, [first]]) => `${first?.path}: ${id} is no class of ${page}`),
    ...empty.map(({ id, path }) => `${path}: ${id} stands without a claim`),
    ...classes.flatMap((row) => problemOf(row, bearers, tree)),
    ...(known.size === classes.length ? [] : ['tools/abuse-classes.ts: an id is there twice']),
  ]
}

function problemOf({ id, state }: AbuseClass, bearers: Bearers, tree: Tree): readonly string[] {
  switch (state.kind) {
    case 'tested':
      return bearers.has(id) ? [] : [`${id} is called tested, and no test bears it`]
    case 'construction':
      return tree.has(state.at) ? [] : [`${id} names ${state.at}, which is not there`]
    case 'not yet':
      return bearers.has(id) ? [`${id} is called not yet covered, and a test bears it`] : []
  }
}

/** @param names of all tests that count, one a line: tools/skipped.ts */
export function checkBorne(groups: readonly AbuseGroup[], names: string): readonly string[] {
  const borne = new Set(idsIn(names))
  return groups
    .flatMap((group) => group.classes)
    .filter(({ id, state }) => state.kind === 'tested' && !borne.has(id))
    .map(({ id }) => `${id}: a string bears it, and no test that ran has such a name`)
}

export async function formatPage(groups: readonly AbuseGroup[], bearers: Bearers): Promise<string> {
  const classes = groups.flatMap((group) => group.classes)
  const count = (kind: string): number => classes.filter(({ state }) => state.kind === kind).length
  const text = `# Classes of abuse

<!-- Made by \`sh tools/run tools/abuse-page.ts --write\` from tools/abuse-classes.ts and the names of tests. -->

Bugs of one kind hit one tool after the other. Each class has an id, and a test that bears the id checks the outcome here.
[What went wrong elsewhere](../explanation/past-cves.md) has the single CVEs.

${classes.length} classes: ${count('tested')} tested, ${count('construction')} impossible by construction, ${count('not yet')} not yet covered, which come with the parts
that they are about.

${groups.map((group) => formatGroup(group, bearers)).join('\n\n')}

## The tests

A name stands as in the source; what is in \`\${}\` is filled in when it runs.

${classes
  .map(({ id }) => formatTests(id, bearers))
  .filter((lines) => lines !== '')
  .join('\n\n')}
`
  return await format(text, { parser: 'markdown', printWidth: 100, semi: false, singleQuote: true })
}

function formatGroup({ name, classes }: AbuseGroup, bearers: Bearers): string {
  const rows = classes.map((row) => `| ${row.id} | ${row.name} | ${formatState(row, bearers)} |`)
  return `## ${name}\n\n| id | class | state |\n| --- | --- | --- |\n${rows.join('\n')}`
}

function formatState({ id, state }: AbuseClass, bearers: Bearers): string {
  switch (state.kind) {
    case 'tested':
      return `[tested](#${id.toLowerCase()}), ${bearers.get(id)?.length ?? 0}`
    case 'construction':
      return `by construction: ${state.why} ([code](../../${state.at}))`
    case 'not yet':
      return `not yet: ${state.what}, issue ${state.issue}`
  }
}

function formatTests(id: string, bearers: Bearers): string {
  const titles = bearers.get(id) ?? []
  const paths = [...new Set(titles.map(({ path }) => path))].toSorted()
  if (paths.length === 0) return ''
  const items = paths.map((path) => {
    const names = titles
      .filter((bearer) => bearer.path === path)
      .map(({ title }) => `  - ${code(title)}`)
    return `- [${path}](../../${path})\n${[...new Set(names)].join('\n')}`
  })
  return `### ${id}\n\n${items.join('\n')}`
}

function code(title: string): string {
  return title.includes('`') ? `\`\` ${title} \`\`` : `\`${title}\``
}

async function main(): Promise<void> {
  const tree = readTree()
  const bearers = findBearers(tree)
  const text = await formatPage(abuseGroups, bearers)
  if (process.argv.includes('--write')) writeFileSync(join(root, page), text)
  const stale = readFileSync(join(root, page), 'utf8') !== text
  report('abuse', [
    ...checkClasses(abuseGroups, bearers, tree),
    ...checkPastCves(abuseGroups, bearers, tree),
    ...(stale ? [`${page} is stale: run sh tools/run tools/abuse-page.ts --write`] : []),
  ])
}

if (import.meta.main) await main()
