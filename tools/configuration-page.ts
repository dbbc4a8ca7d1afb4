/**
 * Makes the lists of keys in docs/reference/configuration.md and man/belladonna.toml.5 out of the tables that the code reads
 * with, so that no key is missing, out of date or invented.
 *
 *     sh tools/run tools/configuration-page.ts [--write]
 *
 * Without --write it fails when a list is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { format } from 'prettier'
import { readConfiguration } from '../src/core/configuration/configuration.ts'
import { configurationKeys } from '../src/core/configuration/keys.ts'
import { removedKeys } from '../src/core/configuration/removed-keys.ts'
import { parseTomlTree } from '../src/host/toml-tree.ts'
import { report, root } from './tree.ts'

const page = 'docs/reference/configuration.md'
const manual = 'man/belladonna.toml.5'

type Row = Readonly<{ name: string; form: string; fallback: string; about: string }>

function readRows(): readonly Row[] {
  const nothing = { users: new Set<string>(), hasCgroup: () => false }
  const defaults = readConfiguration(parseTomlTree('defaults', 'schema = 1\n'), nothing)
  const settings = defaults.kind === 'valid' ? defaults.settings : []
  const keys = Object.values(configurationKeys).map(({ table, name, form, about }) => {
    return { name: `${table}.${name}`, form, about }
  })
  return settings.flatMap(({ key, value }) =>
    keys.filter(({ name }) => name === key).map((row) => ({ ...row, fallback: value })),
  )
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function keysAsMarkdown(rows: readonly Row[]): string {
  const lines = rows.map(({ name, form, fallback, about }) => {
    const shown = /^(?:"[^"]*"|[0-9]+)$/.test(fallback) ? `\`${fallback}\`` : fallback
    return `| \`${name}\` | ${cell(form)} | ${cell(shown)} | ${cell(about)} |`
  })
  return [
    '| key | value | without it | what it does |',
    '| --- | --- | --- | --- |',
    ...lines,
  ].join('\n')
}

function removedAsMarkdown(): string {
  const lines = [...removedKeys].map(([name, why]) => `| \`${name}\` | ${cell(why)} |`)
  return ['| key | why it is gone |', '| --- | --- |', ...lines].join('\n')
}

/** mdoc reads a line that begins with a dot or an apostrophe as a request, and wants each sentence on a line of its own. */
function prose(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('`', '')
    .replaceAll(/([.?]) (?=[A-Z])/g, '$1\n')
    .replaceAll(/^(?=['.])/gm, '\\&')
}

function keysAsManual(rows: readonly Row[]): string {
  return rows
    .map(({ name, form, fallback, about }) =>
      [`.It Ic ${name}`, `${prose(form)}; without it ${prose(fallback)}.`, prose(about)].join('\n'),
    )
    .join('\n')
}

function removedAsManual(): string {
  return [...removedKeys].map(([name, why]) => `.It Ic ${name}\n${prose(why)}.`).join('\n')
}

/** The text with what stands between the two marks of `name` replaced. */
function fill(text: string, [open, close]: readonly [string, string], made: string): string {
  const from = text.indexOf(open) + open.length
  const to = text.indexOf(close)
  if (from < open.length || to < from) throw new Error(`no ${open}`)
  return `${text.slice(0, from)}\n${made}\n${text.slice(to)}`
}

const marks = (comment: (text: string) => string, name: string): readonly [string, string] => [
  comment(`${name}: made by tools/configuration-page.ts`),
  comment(`end of ${name}`),
]
const html = (text: string): string => `<!-- ${text} -->`
const roff = (text: string): string => `.\\" ${text}`

async function makePage(old: string, rows: readonly Row[]): Promise<string> {
  const keys = fill(old, marks(html, 'keys'), `\n${keysAsMarkdown(rows)}\n`)
  const all = fill(keys, marks(html, 'removed keys'), `\n${removedAsMarkdown()}\n`)
  const style: unknown = JSON.parse(readFileSync(join(root, '.prettierrc.json'), 'utf8'))
  return await format(all, { ...(typeof style === 'object' ? style : {}), parser: 'markdown' })
}

function makeManual(old: string, rows: readonly Row[]): string {
  const keys = fill(old, marks(roff, 'keys'), keysAsManual(rows))
  return fill(keys, marks(roff, 'removed keys'), removedAsManual())
}

const rows = readRows()
const files = new Map([
  [page, async (old: string) => await makePage(old, rows)],
  [manual, async (old: string) => Promise.resolve(makeManual(old, rows))],
])
const problems: string[] = []
for (const [path, make] of files) {
  const old = readFileSync(join(root, path), 'utf8')
  const made = await make(old)
  if (made === old) continue
  if (process.argv[2] === '--write') writeFileSync(join(root, path), made)
  else problems.push(`${path} is stale: run sh tools/run tools/configuration-page.ts --write`)
}
report('configuration', problems)
