import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import test from 'node:test'
import { wireFeature } from '../protocol/layout.ts'
import { featureNames, formatFeatures } from './features.ts'

test('features: every bit of wire_feature has one name, and it is the constant in snake case', () => {
  const expected = Object.entries(wireFeature).map(
    ([name, bit]) => [bit, name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] as const,
  )
  assert.deepEqual(featureNames, expected)
})

test('features: names come in the order of the bits', () => {
  assert.deepEqual(formatFeatures(0), [])
  assert.deepEqual(formatFeatures(wireFeature.seccomp | wireFeature.pidNamespace), [
    'pid_namespace',
    'seccomp',
  ])
  const all = featureNames.reduce((bits, [bit]) => bits | bit, 0)
  assert.deepEqual(
    formatFeatures(all),
    featureNames.map(([, name]) => name),
  )
})

test('features: promise 8: a bit without a name is shown, not dropped', () => {
  assert.deepEqual(formatFeatures(0x8000_0001), ['pid_namespace', 'bit_31'])
})

test('features: the reference has a row for each, in this order', () => {
  const page = new URL('../../../docs/reference/sandbox.md', import.meta.url)
  const rows = [...readFileSync(page, 'utf8').matchAll(/^\| `([a-z_]+)` +\| .{20}/gm)]
  const names = new Set(featureNames.map(([, name]) => name))
  assert.deepEqual(
    rows.map(([, name = '']) => name).filter((name) => names.has(name)),
    [...names],
  )
})
