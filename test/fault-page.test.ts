import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { errorCells, killCells, pageRowOf } from './e2e/fault/cells.ts'

test('docs/reference/faults.md lists exactly the cells of the fault matrix, in their order', () => {
  const page = readFileSync(join(import.meta.dirname, '../docs/reference/faults.md'), 'utf8')
  const rows = [...page.matchAll(/^\| (\w+) +\| (before .+?) +\| (`\w+` \d) +\| (\w+) +\|$/gm)]
  assert.deepEqual(
    rows.map(([, ...fields]) => fields),
    [...killCells, ...errorCells].map(pageRowOf),
  )
})
