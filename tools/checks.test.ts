/** Each check, shown to find what it is for and to leave alone what is right. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkDocs, membersOf } from './check-docs.ts'
import { checkLauncherSize } from './check-launcher-size.ts'
import { checkLockfiles } from './check-lockfiles.ts'
import { checkPaths } from './check-paths.ts'
import { checkSizes } from './check-sizes.ts'
import { checkWalls } from './check-walls.ts'
import { checkDataMarks } from './data-marks.ts'
import { checkSkips, listSkips, machineLacks, namesThatCount, parseTestLines } from './skipped.ts'
import type { TestLine } from './skipped.ts'
import { root } from './tree.ts'
import type { Tree } from './tree.ts'

type Files = Readonly<Record<string, string>>
type Case = Readonly<{ name: string; files: Files; want: readonly RegExp[] }>

function runCases(
  check: string,
  run: (tree: Tree) => readonly string[],
  cases: readonly Case[],
): void {
  for (const { name, files, want } of cases) {
    test(`${check}: ${name}`, () => {
      const problems = run(new Map(Object.entries(files)))
      assert.equal(problems.length, want.length, problems.join('\n'))
      want.forEach((pattern, at) => {
        assert.match(problems[at] ?? '', pattern)
      })
    })
  }
}

const manifest = JSON.stringify({
  dependencies: { toml: '1.0.0' },
  devDependencies: { oracle: '1.0.0' },
})
const walled: Files = {
  'package.json': manifest,
  'src/core/a.ts': "import { createHash } from 'node:crypto'\nimport type { B } from './b.ts'",
  'src/core/b.ts': "export const permit: 'permit' = 'permit'\nexport type B = 1",
  'src/core/b.test.ts': "import { test } from 'node:test'\nimport 'oracle'\nimport '../cli/up.ts'",
  'src/host/file.ts': "import { readFileSync } from 'node:fs'",
  'src/host/tree.ts': "import { parse } from 'toml'",
  'src/daemon/start.ts': "import {\n  x,\n} from '../host/tree.ts'",
  'src/daemon/executor/main.ts': "import '../../host/file.ts'\nimport '../../core/a.ts'",
  'src/daemon/broker/main.ts': "import '../../host/file.ts'",
  'src/cli/up.ts': "import '../daemon/start.ts'",
  'src/client/index.ts': "import 'node:net'\nimport '../core/a.ts'",
}

runCases('walls', checkWalls, [
  { name: 'the planned directions are fine', files: walled, want: [] },
  {
    name: 'core imports nothing but node:crypto and itself',
    files: {
      ...walled,
      'src/core/b.ts':
        "import 'node:fs'\nimport { x } from '../host/tree.ts'\nexport * from 'toml'",
    },
    want: [/b\.ts:1: .*node:fs/, /b\.ts:2: .*host/, /b\.ts:3: .*toml/, /executor .*b\.ts → toml/],
  },
  {
    name: 'a development dependency does not ship',
    files: { ...walled, 'src/host/file.ts': "import 'oracle'" },
    want: [/oracle/, /executor .*file\.ts → oracle/],
  },
  {
    name: 'no code that ships imports a test, or a file that is not there',
    files: {
      ...walled,
      'src/host/tree.ts': "import '../core/b.test.ts'\nimport '../core/gone.ts'",
    },
    want: [/b\.test\.ts/, /gone\.ts/],
  },
  {
    name: 'only up may reach the daemon',
    files: { ...walled, 'src/cli/run.ts': "import '../daemon/start.ts'" },
    want: [/src\/cli\/run\.ts:1: src\/cli may not import/],
  },
  {
    name: 'a computed import is refused',
    files: { ...walled, 'src/client/index.ts': 'await import(name)' },
    want: [/may not import \?/],
  },
  {
    name: 'the executor loads no package, however far away',
    files: { ...walled, 'src/host/file.ts': "import './tree.ts'" },
    want: [/main\.ts → src\/host\/file\.ts → src\/host\/tree\.ts → toml/],
  },
  {
    name: 'the executor loads nothing of the broker, and hides no import',
    files: {
      ...walled,
      'src/daemon/executor/main.ts': "import '../broker/main.ts'\nprocess.getBuiltinModule('fs')",
    },
    want: [/getBuiltinModule/, /executor may not load .*broker/],
  },
  {
    name: 'the broker starts no process',
    files: { ...walled, 'src/daemon/broker/main.ts': "import 'node:child_process'" },
    want: [/starts no process/],
  },
  {
    name: 'a folder nobody planned is refused',
    files: { ...walled, 'src/shared/a.ts': 'export {}' },
    want: [/no folder "shared"/],
  },
])

runCases('sizes', checkSizes, [
  { name: '400 lines are fine', files: { 'src/core/a.ts': 'x\n'.repeat(400) }, want: [] },
  { name: '401 are not', files: { 'native/bell/a.c': 'x\n'.repeat(401) }, want: [/401 lines/] },
  {
    name: '401 with a reason are',
    files: { 'src/core/a.ts': `/** over 400 lines: one table */\n${'x\n'.repeat(401)}` },
    want: [],
  },
  { name: 'prose may be long', files: { 'docs/a.md': 'x\n'.repeat(900) }, want: [] },
  { name: 'empty names are refused', files: { 'src/core/path-utils.ts': '' }, want: [/"utils"/] },
  { name: 'names are kebab-case', files: { 'src/core/pathName.ts': '' }, want: [/kebab-case/] },
])

runCases('launcher size', checkLauncherSize, [
  {
    name: 'comments and blank lines do not count',
    files: { 'native/launcher/a.c': `${'int x;\n'.repeat(1910)}${'/* why\n */\n\n'.repeat(300)}` },
    want: [],
  },
  {
    name: 'all files count together',
    files: {
      'native/launcher/a.c': 'int x;\n'.repeat(1000),
      'native/launcher/b.h': 'int x;\n'.repeat(921),
      'native/sandbox/a.c': 'int x;\n'.repeat(981),
    },
    want: [/launcher: 1921 lines/, /sandbox: 981 lines/],
  },
  {
    name: 'other programs do not count',
    files: { 'native/bell/a.c': 'int x;\n'.repeat(2001) },
    want: [],
  },
  {
    name: 'statements are not packed',
    files: { 'native/launcher/a.c': 'a(); b(); c();\nfor (int i = 0; i < 3; i++) a();\n' },
    want: [/a\.c:1: more than two/],
  },
])

runCases('paths', checkPaths, [
  {
    name: 'paths of a machine are refused, wherever they stand',
    files: { 'docs/a.md': 'see\n`/root/src/x` and /home/carol/x', 'src/a.ts': "'/work/main'" },
    want: [/a\.md:2: \/root\/src/, /a\.md:2: \/home\/carol/, /a\.ts:1: \/work\/main/],
  },
  {
    name: 'examples and roots of paths are fine',
    files: { 'docs/a.md': '/home/alice/x, /home, /root, src/work/x, $HOME/work/x, network/root/x' },
    want: [],
  },
])

const documented: Files = {
  'src/core/error.ts': "export type ErrorCode =\n  | 'usage' // why\n  | 'log_failed'\n",
  'src/core/refusal.ts': "export type RefusalCode =\n  | 'busy'\n\nexport type Other =\n  | 'no'\n",
  'docs/reference/errors.md':
    '| code |\n| --- |\n| `usage` | x |\n| `log_failed` | x |\n| `busy` | x |\n',
}

runCases('docs', checkDocs, [
  { name: 'a table that agrees is fine', files: documented, want: [] },
  {
    name: 'a code without a row, and a row without a code',
    files: { ...documented, 'docs/reference/errors.md': '| `usage` |\n| `busy` |\n| `old` |\n' },
    want: [/no row for log_failed/, /no such code old/],
  },
  {
    name: 'a code has one row, and one that is in both unions two',
    files: {
      ...documented,
      'src/core/refusal.ts':
        "export type RefusalCode =\n  | 'busy'\n  | 'usage'\n  | 'log_failed'\n",
      'docs/reference/errors.md':
        '| `usage` |\n| `log_failed` |\n\n| `busy` |\n| `usage` |\n| `busy` |\n',
    },
    want: [/no row for log_failed/, /busy has a row too many/],
  },
  {
    name: 'a union that is not found is not an empty one',
    files: { ...documented, 'src/core/refusal.ts': '' },
    want: [/no union RefusalCode/, /no such code busy/],
  },
  {
    name: 'links lead to files, folders and headings',
    files: {
      ...documented,
      'README.md':
        '# Top\n[a](docs) [b](docs/b.md#a-b) [c](#top) [d](https://x.example/) `[e](no)`\n',
      'docs/b.md': '# A `b`\n[up](../README.md)\n',
    },
    want: [],
  },
  {
    name: 'broken links are found',
    files: { ...documented, 'README.md': '[a](no.md)\n[b](#no)\n[c][d]\n\n[d]: docs/no.md\n' },
    want: [/README\.md:1: no no\.md/, /README\.md:2: .*#no/, /README\.md:5: no docs\/no\.md/],
  },
  {
    name: 'examples must parse',
    files: {
      ...documented,
      'a.md':
        '```toml\na = 1\na = 2\n```\n```json\n{]\n```\n```sh\nif\n```\n```console\n$ if\n```\n',
    },
    want: [/a\.md:1: toml/, /a\.md:5: json/, /a\.md:8: sh/],
  },
  {
    name: 'a man page that is not mdoc is found',
    files: { ...documented, 'man/bell.1': '.Dd $Mdocdate$\n.Dt BELL 1\n.Os\n.Sh NAME\n.Nosuch\n' },
    want: [/man\/bell\.1: .*Nosuch|man\/bell\.1: /],
  },
])

test('docs: members of a union are read to its end and no further', () => {
  assert.deepEqual(membersOf(documented['src/core/refusal.ts'] ?? '', 'RefusalCode'), ['busy'])
})

const integrity = 'sha512-x'
const locked = (packages: object, own: object = { dependencies: { toml: '1.0.0' } }): Files => ({
  'package.json': JSON.stringify({ dependencies: { toml: '1.0.0' } }),
  'package-lock.json': JSON.stringify({ packages: { '': own, ...packages } }),
  'docs/explanation/dependencies.md': '| `toml` | why |\n',
})

runCases('lockfiles', checkLockfiles, [
  {
    name: 'C115: a pinned package is fine',
    files: locked({ 'node_modules/toml': { integrity } }),
    want: [],
  },
  {
    name: 'C115: no hash, an install script and a registry are refused',
    files: locked({
      'node_modules/toml': { hasInstallScript: true, resolved: 'https://x.example/' },
    }),
    want: [/SHA-512/, /runs a script/, /registry/],
  },
  {
    name: 'a lockfile of another manifest is refused',
    files: locked({ 'node_modules/toml': { integrity } }, { dependencies: { toml: '0.9.0' } }),
    want: [/another manifest/],
  },
  {
    name: 'versions are exact',
    files: {
      ...locked({}, { dependencies: { toml: '^1.0.0' } }),
      'package.json': JSON.stringify({ dependencies: { toml: '^1.0.0' } }),
    },
    want: [/not one exact version/],
  },
  {
    name: 'a manifest without a lockfile is refused',
    files: { 'package.json': '{}', 'docs/explanation/dependencies.md': '' },
    want: [/package-lock\.json is missing/],
  },
  {
    name: 'each dependency has a reason, and each reason a dependency',
    files: { ...locked({}), 'docs/explanation/dependencies.md': '| `yaml` | why |\n' },
    want: [/no row for toml/, /yaml is not a dependency/],
  },
  {
    name: 'there is a ceiling',
    files: locked(
      Object.fromEntries(
        Array.from({ length: 111 }, (_, at) => [`node_modules/p${at}`, { integrity }]),
      ),
    ),
    want: [/runtime: 111 packages, at most 110/],
  },
])

const suite = "dataPath('a/b')\nskipWithoutData(t, 'c', 3)\n"
runCases('data', (tree) => checkDataMarks(tree, new Set(['a/b', 'c'])), [
  { name: 'what was read is fine', files: { 'src/core/a.test.ts': suite }, want: [] },
  {
    name: 'what was not read, or is not written out, is found',
    files: { 'test/e2e/a.test.ts': "dataPath('d')\ndataPath(name)\n" },
    want: [/did not read the data "d"/, /literal/],
  },
])

const skippedTests = `import { describe, test } from 'node:test'
test('it ran', () => undefined)
test('no reason', { skip: true }, () => undefined)
test('a reason', { skip: 'no /usr/bin/env' }, () => undefined)
test('from within', (t) => t.skip('no /no/such/file'))
test('to do, and failing', { todo: true }, () => { throw new Error('x') })
describe('a suite', () => {
  test('of one', { skip: 'skipped: 3, no data' }, () => undefined)
})
describe('a suite that is skipped', { skip: 'who knows' }, () => {
  test('of another', () => undefined)
})
`

/** What our reporter says of them, as Node's own runner runs them. */
function reportedLines(): readonly TestLine[] {
  const directory = mkdtempSync(join(tmpdir(), 'belladonna-skips.'))
  try {
    const file = join(directory, 'a.test.mjs')
    writeFileSync(file, skippedTests)
    const reporter = `--test-reporter=${join(root, 'tools/test-names.ts')}`
    const words = ['--test', reporter, '--test-reporter-destination=stdout', file]
    const env = { PATH: process.env['PATH'] ?? '' } // not NODE_TEST_CONTEXT, which makes it report to us
    const { stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', env })
    assert.equal(stderr, '')
    return parseTestLines(stdout)
  } finally {
    rmSync(directory, { recursive: true })
  }
}

test('skipped: a test that was skipped, or is still to do, bears nothing; a suite neither', () => {
  const tests = reportedLines()
  assert.equal(tests.length, 7)
  assert.equal(namesThatCount(tests, true), 'it ran')
  assert.equal(namesThatCount(tests, false), 'it ran\nno reason')
  assert.equal(listSkips(tests).length, 6)
})

test('skipped: what this machine has is no reason, nor are words that nobody knows', () => {
  const tests = reportedLines()
  const namesIn = (problems: readonly string[]): readonly string[] =>
    problems.map((problem) => problem.split(': ').at(-1) ?? '')
  const asRoot = (reason: string): boolean | undefined =>
    reason === 'needs root' ? false : /no data$/.test(reason) || machineLacks(reason)
  assert.deepEqual(namesIn(checkSkips(tests, asRoot)), [
    'no reason',
    'a reason',
    'to do, and failing',
    'a suite that is skipped',
  ])
  const asUser = (reason: string): boolean | undefined => reason === 'needs root' || asRoot(reason)
  assert.deepEqual(namesIn(checkSkips(tests, asUser)), [
    'a reason',
    'to do, and failing',
    'a suite that is skipped',
  ])
  assert.equal(machineLacks('needs root'), process.geteuid?.() !== 0)
  assert.equal(machineLacks('needs root, or so'), undefined)
})
