import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findTomlSpans } from '../../host/toml-spans.ts'
import { parseTomlTree } from '../../host/toml-tree.ts'
import { applyEdits } from './edits.ts'
import { planMigration } from './migration.ts'

const removed = 'allow_legacy_tokens'
const rows: readonly (readonly [name: string, old: string, want: string])[] = [
  ['nothing to migrate', 'schema = 1\n', 'schema = 1\n'],
  ['an empty file', '', 'schema = 1\n'],
  ['the schema comes first', '# ours\n\n[log]\n', 'schema = 1\n# ours\n\n[log]\n'],
  ['line ends are those of the file', '[log]\r\n', 'schema = 1\r\n[log]\r\n'],
  ['a schema in a table is none', '[log]\nschema = 1\n', 'schema = 1\n[log]\nschema = 1\n'],
  [
    'a line with its comment goes, comments on other lines stay',
    `schema = 1 # x\n# above\n  ${removed} = true # why\n# below\n[log] # y\n`,
    'schema = 1 # x\n# above\n# below\n[log] # y\n',
  ],
  [
    'a value of several lines goes whole',
    `schema = 1\n${removed} = [\n  1, # one\n  2,\n] # end\n\n[log]\n`,
    'schema = 1\n\n[log]\n',
  ],
  ['a last line without an end', `schema = 1\n${removed} = 1`, 'schema = 1\n'],
  ['a quoted key', `schema = 1\n"${removed}" = 1\n`, 'schema = 1\n'],
  ['a dotted key', `schema = 1\ntokens.${removed} = 1\n`, 'schema = 1\n'],
  ['a table of that name', `schema = 1\n[ ${removed} ] # x\na = 1\n[log]\n`, 'schema = 1\n[log]\n'],
  ['tables of that name', `schema = 1\n[[${removed}]]\na = 1\n[[${removed}]]\n`, 'schema = 1\n'],
  ['a table below that name', `schema = 1\n[${removed}.deep]\na.b = 1\n`, 'schema = 1\n'],
  [
    'a table that held nothing else goes too',
    `schema = 1\n[tokens]\n${removed} = 1\n[log]\n`,
    'schema = 1\n[log]\n',
  ],
  [
    'a table that holds something else stays',
    `schema = 1\n[tokens]\n${removed} = 1\nkept = 1\n`,
    'schema = 1\n[tokens]\nkept = 1\n',
  ],
  ['a table that was empty stays', `schema = 1\n[tokens]\n`, `schema = 1\n[tokens]\n`],
  ['a table of this version stays', `schema = 1\n[log]\n${removed} = 1\n`, 'schema = 1\n[log]\n'],
  [
    'the first of an inline table',
    `schema = 1\na = { ${removed} = 1, b = 2 }\n`,
    'schema = 1\na = { b = 2 }\n',
  ],
  [
    'the last of an inline table',
    `schema = 1\na = { b = 2 , ${removed} = 1 }\n`,
    'schema = 1\na = { b = 2  }\n',
  ],
  [
    'one in the middle of an inline table',
    `schema = 1\na = {b = 2,${removed} = 1,c = 3}\n`,
    'schema = 1\na = {b = 2,c = 3}\n',
  ],
  [
    'several at both ends of an inline table',
    `schema = 1\na = { ${removed}.x = 1, ${removed}.y = 1, b = 2, ${removed}.z = 1 }\n`,
    'schema = 1\na = { b = 2 }\n',
  ],
  ['the only one of an inline table', `schema = 1\na = { ${removed} = 1 } # x\n`, 'schema = 1\n'],
  [
    'the only one of an inline table in another',
    `schema = 1\na = { b = { ${removed} = 1 }, c = 1 }\n`,
    'schema = 1\na = { c = 1 }\n',
  ],
  [
    'a value that is called so stays',
    `schema = 1\nx = "${removed}"\n`,
    `schema = 1\nx = "${removed}"\n`,
  ],
]

function migrated(text: string): string {
  return applyEdits(text, planMigration(text, findTomlSpans(text)).edits)
}

for (const [name, old, want] of rows) {
  test(`migration: ${name}`, () => {
    const made = migrated(old)
    assert.equal(made, want)
    parseTomlTree('migrated', made)
    assert.equal(migrated(made), made, 'a second time changes nothing')
  })
}

test('migration: says why, once for each key', () => {
  const text = `[${removed}.x]\n[a]\n${removed} = 1\n`
  const { reasons } = planMigration(text, findTomlSpans(text))
  assert.equal(reasons.length, 1)
  assert.match(reasons.join(), /^allow_legacy_tokens: tokens with a pseudo-signature prove nothing/)
})
