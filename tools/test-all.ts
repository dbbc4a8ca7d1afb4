/**
 * Runs every check, and then the tests. `npm run check` is the same without the tests that need processes.
 *
 *     sh tools/run tools/test-all.ts [check] [STEP…]
 *
 * All steps run even if one fails, each within its time. The runner's output comes last but for our summary.
 */
import { globSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dataRoot } from '../test/data.ts'
import { abuseGroups } from './abuse-classes.ts'
import { checkBorne } from './abuse-page.ts'
import { checkCoverage, parseLcov } from './coverage.ts'
import { checkDataMarks } from './data-marks.ts'
import { runBounded } from './run-bounded.ts'
import { checkSkips, listSkips, machineLacks, namesThatCount, parseTestLines } from './skipped.ts'
import type { TestLine } from './skipped.ts'
import { isTestFile, readTree, report, root } from './tree.ts'

type Step = Readonly<{ name: string; run: () => Promise<boolean> }>
type Outcome = Readonly<{ name: string; passed: boolean; seconds: string }>

const isCheck = process.argv[2] === 'check'
const only = process.argv.slice(isCheck ? 3 : 2)
const node = process.execPath
const lcovPath = join(root, 'coverage', 'lcov.info')
const namesPath = join(root, 'coverage', 'names.txt')
/** Of the summary; filled by `runTests`. */
const leftOut: string[] = []
const checkNames = ['walls', 'sizes', 'paths', 'docs', 'lockfiles', 'launcher-size']

const steps: readonly Step[] = [
  quiet('format', [
    node,
    'node_modules/prettier/bin/prettier.cjs',
    '--check',
    '--log-level=warn',
    '.',
  ]),
  quiet('format-c', ['sh', 'native/build', 'check-format']),
  ...checkNames.map((name) => quiet(name, [node, `tools/check-${name}.ts`])),
  quiet('abuse', [node, 'tools/abuse-page.ts']),
  quiet('configuration', [node, 'tools/configuration-page.ts']),
  quiet('types', ['node_modules/.bin/tsc', '--noEmit', '--pretty', 'false']),
  quiet('lint', [
    ...[
      node,
      'tools/lint/node_modules/eslint/bin/eslint.js',
      '--config',
      'tools/lint/eslint.config.js',
    ],
    ...['--max-warnings=0', '--no-error-on-unmatched-pattern', 'src', 'test', 'tools', 'bench'],
  ]),
  { name: 'tests', run: runTests },
  { name: 'coverage', run: async () => Promise.resolve(passes('coverage', coverageProblems)) },
]

/** A step that is silent unless it fails. */
function quiet(name: string, command: readonly string[]): Step {
  return {
    name,
    run: async () => runBounded(command, { cwd: root, limitMs: 120_000, output: 'on failure' }),
  }
}

/**
 * One run of Node's runner over all files, because coverage of two runs cannot be added up exactly. It takes two at a time, in this
 * order: tests of modules, then those that start processes. A test that looks at its host looks at what is its own there.
 */
async function runTests(): Promise<boolean> {
  const modules = globSync(
    ['src/**/*.test.ts', 'tools/*.test.ts', 'bench/*.test.ts', 'test/*.test.ts'],
    {
      cwd: root,
    },
  )
  const processes = globSync('test/*/**/*.test.ts', { cwd: root })
  const files = isCheck ? modules.toSorted() : [...modules.toSorted(), ...processes.toSorted()]
  const marks = mkdtempSync(join(tmpdir(), 'belladonna-marks.'))
  mkdirSync(join(root, 'coverage'), { recursive: true })
  for (const path of [lcovPath, namesPath]) rmSync(path, { force: true })
  try {
    const passed = await runBounded([node, ...runnerOptions(), ...files], {
      ...{ cwd: root, limitMs: isCheck ? 300_000 : 1_500_000, output: 'always' },
      env: { ...process.env, BELLADONNA_DATA_MARKS: marks },
    })
    const tests = parseTestLines(readFileSync(namesPath, 'utf8'))
    leftOut.push(...listSkips(tests))
    const named = passes('abuse', () => borneProblems(tests))
    const skipped = passes('skipped', () => checkSkips(tests, machineLacks))
    return passes('data', () => dataProblems(marks)) && named && skipped && passed
  } finally {
    rmSync(marks, { recursive: true })
  }
}

function runnerOptions(): readonly string[] {
  return [
    '--test',
    '--import=./test/fixed-seed.ts',
    '--test-concurrency=2',
    '--test-timeout=300000',
    '--experimental-test-coverage',
    '--test-coverage-include=src/**/*.ts',
    // Any exclude of ours replaces Node's own, which would leave out a whole checkout below a folder named "test".
    '--test-coverage-exclude=**/*.test*.ts',
    ...['--test-reporter=spec', '--test-reporter-destination=stdout'],
    ...['--test-reporter=lcov', `--test-reporter-destination=${lcovPath}`],
    ...['--test-reporter=./tools/test-names.ts', `--test-reporter-destination=${namesPath}`],
  ]
}

function coverageProblems(): readonly string[] {
  const sources = globSync('src/**/*.ts', { cwd: root }).filter(
    (path) => !isTestFile(path) && !path.endsWith('.d.ts'),
  )
  return checkCoverage(parseLcov(readFileSync(lcovPath, 'utf8')), sources, isCheck ? 'core' : 'all')
}

function dataProblems(marks: string): readonly string[] {
  if (dataRoot() === undefined) return []
  const tree = [...readTree()].filter(([path]) => !isCheck || !/^test\/.+\//.test(path))
  return checkDataMarks(new Map(tree), new Set(readdirSync(marks).map(decodeURIComponent)))
}

function borneProblems(tests: readonly TestLine[]): readonly string[] {
  return isCheck ? [] : checkBorne(abuseGroups, namesThatCount(tests))
}

function passes(name: string, problemsOf: () => readonly string[]): boolean {
  const problems = problemsOf()
  report(name, problems)
  return problems.length === 0
}

async function runStep({ name, run }: Step): Promise<Outcome> {
  const startMs = performance.now()
  const passed = await run().catch((error: unknown) => {
    console.error(error)
    return false
  })
  return { name, passed, seconds: ((performance.now() - startMs) / 1000).toFixed(1) }
}

const outcomes: Outcome[] = []
for (const step of steps.filter(({ name }) => only.length === 0 || only.includes(name))) {
  outcomes.push(await runStep(step))
}
console.log()
for (const { name, passed, seconds } of outcomes) {
  console.log(`${passed ? 'passed' : 'FAILED'}  ${name.padEnd(14)} ${seconds} s`)
}
for (const line of leftOut) console.log(line)
process.exitCode = outcomes.length > 0 && outcomes.every(({ passed }) => passed) ? 0 : 1
