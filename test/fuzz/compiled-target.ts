/** The installed policy's JSON: refused as `input_invalid`, or read as what it says, letter for letter. Then deciding is total. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { compilePolicy } from '../../src/core/policy/compile.ts'
import { formatCompiledPolicy } from '../../src/core/policy/compiled.ts'
import type { CompiledPolicy } from '../../src/core/policy/compiled.ts'
import { parseCompiledPolicy } from '../../src/core/policy/compiled-parse.ts'
import { decide } from '../../src/core/policy/decide.ts'
import { indexPolicy } from '../../src/core/policy/policy-index.ts'
import {
  factsAt,
  requestOf,
  subjectOf,
  testFacts,
} from '../../src/core/policy/policy.test-support.ts'
import { BelladonnaError } from '../../src/core/error.ts'
import { readTomlTree } from '../../src/host/toml-tree.ts'
import { policySeeds } from './policy-target.ts'
import type { Target } from './target.ts'

export function compiledTarget(): Target {
  const file = new URL('../../spec/vectors/policy.json', import.meta.url)
  const { valid }: Readonly<{ valid: readonly Readonly<{ text: string }>[] }> = JSON.parse(
    readFileSync(file, 'utf8'),
  )
  const seeds = [...valid.map(({ text }) => text), ...policySeeds().flatMap(compiledText)]
  const words = new Set(seeds.flatMap((text) => text.match(/"\w+"|[0-9]+/g) ?? []))
  return {
    seeds,
    words: [
      ...[...words].slice(0, 400),
      ...['{', '}', '[', ']', ',', ':', '"', '\\u0000', '\\ud800', ' ', '\n', 'null', 'true', '-0'],
      ...['"__proto__":1,', '1e400', '""', '[]', '{}'],
    ],
    run,
  }
}

function compiledText(toml: string): readonly string[] {
  const reading = readTomlTree('p.toml', toml)
  if (reading.kind === 'invalid') return []
  const result = compilePolicy([reading.tree], testFacts)
  return result.kind === 'compiled' ? [formatCompiledPolicy(result.policy)] : []
}

function run(input: string): void {
  const policy = refusedOr(() => parseCompiledPolicy(input))
  if (policy === undefined) return
  assert.equal(formatCompiledPolicy(policy), input)
  decideAll(policy)
}

function decideAll(policy: CompiledPolicy): void {
  const index = refusedOr(() => indexPolicy(policy))
  if (index === undefined) return
  for (const { id, params } of policy.actions) {
    for (const value of ['', 'web', '1', '-1', 'a'.repeat(100)]) {
      const values = Object.fromEntries(params.map(({ name }) => [name, value]))
      for (const uid of [0, 1000, 65_534]) {
        const decision = decide(index, subjectOf(uid), requestOf(id, values), factsAt(0))
        assert.ok(uid !== 65_534 || decision.kind === 'deny', 'uid 65534 is nobody')
      }
    }
  }
}

function refusedOr<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof BelladonnaError && error.code === 'input_invalid') return undefined
    throw error
  }
}
