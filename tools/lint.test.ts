/** The linter, shown to find the mistakes it is for: it is off as soon as its configuration matches no file. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { root } from './tree.ts'

/**
 * Lints a text as if it stood in this file, which the rules depend on.
 *
 * Without the variable typescript-eslint takes the file's own text from the disk instead.
 */
function lint(path: string, text: string): readonly string[] {
  const command = ['tools/lint/node_modules/eslint/bin/eslint.js', '--format=json', '--stdin']
  const args = [...command, '--config=tools/lint/eslint.config.js', `--stdin-filename=${path}`]
  const { stdout } = spawnSync(process.execPath, args, {
    ...{ cwd: root, input: text, encoding: 'utf8' },
    env: { ...process.env, TSESTREE_SINGLE_RUN: 'false' },
  })
  return [...stdout.matchAll(/"ruleId":"([^"]+)"/g)].map(([, rule = '']) => rule)
}

const core = `
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
type Kind = 'a' | 'b'
export function first(kind: Kind, value: unknown): number {
  switch (kind) {
    case 'a':
      return Date.now() + Math.random()
  }
  const text = value as string
  const loose: any = [text]
  return loose[0]!.length + randomBytes(1).length + readFileSync('x').length + process.pid
}
export class Counter {}
export default first
`

test('lint: in core no clock, randomness, input, cast, any, class or half-done switch passes', () => {
  const found = new Set(lint('src/core/error.ts', core))
  for (const rule of [
    '@typescript-eslint/consistent-type-assertions',
    '@typescript-eslint/no-explicit-any',
    '@typescript-eslint/no-non-null-assertion',
    '@typescript-eslint/switch-exhaustiveness-check',
    ...[
      'no-restricted-globals',
      'no-restricted-imports',
      'no-restricted-properties',
      'no-restricted-syntax',
    ],
  ]) {
    assert.ok(found.has(rule), rule)
  }
})

test('lint: a promise that nobody awaits is found, and a test of node:test is none', () => {
  const text = `
import { test } from 'node:test'
const record = async (): Promise<void> => Promise.resolve()
test('a', () => {
  record()
  ;[1].forEach(async () => record())
})
`
  assert.deepEqual(lint('test/data.ts', text), [
    '@typescript-eslint/no-floating-promises',
    '@typescript-eslint/no-misused-promises',
  ])
})
