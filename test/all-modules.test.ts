/**
 * Node's coverage leaves out what no test has loaded, so a file without a test would not count at all. Hence every
 * module of src is imported here, which also shows that none acts on being imported.
 */
import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

/** Programs: they act when they are loaded. Tests start each of them as its own process. */
function isProgram(path: string): boolean {
  return path.endsWith('/main.ts') || path === 'src/cli/demo.ts'
}

const root = join(import.meta.dirname, '..')
const modules = globSync('src/**/*.ts', { cwd: root })
  .filter((path) => !/\.(?:test(?:-[a-z]+)*|d)\.ts$/.test(path))
  .toSorted()

test('all modules: there are some', () => {
  assert.notEqual(modules.length, 0)
})

for (const path of modules.filter((path) => !isProgram(path))) {
  test(`all modules: ${path} can be imported and does nothing by itself`, async () => {
    await import(join(root, path))
  })
}
