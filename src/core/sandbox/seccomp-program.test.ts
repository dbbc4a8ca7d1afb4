import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { runSeccomp } from '../../../test/native/bpf-interpreter.ts'
import type { ArgumentTest, Verdict } from './seccomp-policy.ts'
import type { Range } from './seccomp-program.ts'
import { instructionBytes, newAssembler, putSearch } from './seccomp-program.ts'

/** The search alone: loads the number, then looks it up. */
function program(ranges: readonly Range[]): Uint8Array {
  const assembler = newAssembler()
  assembler.load(0, putSearch(assembler, ranges))
  return assembler.bytes()
}

function expected(ranges: readonly Range[], number: number, args: readonly bigint[]): number {
  const range = ranges.findLast(({ first }) => first <= number) ?? ranges[0]
  assert.ok(range)
  return answerOf(range.verdict, args)
}

function answerOf(verdict: Verdict, args: readonly bigint[]): number {
  if (verdict.kind === 'return') return verdict.action
  const low = (Number(BigInt.asUintN(32, args[verdict.argument] ?? 0n)) & verdict.mask) >>> 0
  const holds = ({ kind, value }: ArgumentTest): boolean =>
    kind === 'equals' ? low === value : (low & value) !== 0
  return answerOf(verdict.tests.find(holds)?.then ?? verdict.otherwise, args)
}

const action = fc.integer({ min: 0, max: 6 }).map((errno) => 0x5_0000 + errno)
const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
const smallValue = fc.oneof(u32, fc.constantFrom(0, 1, 2, 4, 0x8000_0000))
const fixed = action.map((value): Verdict => ({ kind: 'return', action: value }))
const mask = fc.oneof(fc.constant(0xffff_ffff), fc.constantFrom(0xf, 0x8000_0000), u32)

function byArgument(inner: fc.Arbitrary<Verdict>): fc.Arbitrary<Verdict> {
  return fc.record({
    kind: fc.constant('argument' as const),
    argument: fc.integer({ min: 0, max: 5 }),
    mask,
    tests: fc.array(
      fc.record({
        kind: fc.constantFrom('equals' as const, 'any_bit' as const),
        value: smallValue,
        then: inner,
      }),
      { maxLength: 4 },
    ),
    otherwise: inner,
  })
}

/** Most are fixed; a test may lead to another argument's. */
const verdict: fc.Arbitrary<Verdict> = fc.oneof(
  { weight: 8, arbitrary: fixed },
  { weight: 1, arbitrary: byArgument(fixed) },
  { weight: 1, arbitrary: byArgument(fc.oneof(fixed, byArgument(fixed))) },
)

/** Few verdicts over many ranges, as policies are; neighbours may be equal. */
function rangesOf(maxLength: number): fc.Arbitrary<readonly Range[]> {
  return fc
    .tuple(
      fc.array(verdict, { minLength: 1, maxLength: 5 }),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.nat()), { minLength: 1, maxLength }),
    )
    .map(([verdicts, steps]) => {
      let first = -1
      return steps.flatMap(([step, pick]) => {
        const chosen = verdicts[pick % verdicts.length]
        first += step
        return chosen === undefined ? [] : [{ first, verdict: chosen }]
      })
    })
}

test('seccomp search: it finds what a walk through the ranges finds', () => {
  fc.assert(
    fc.property(
      rangesOf(40),
      fc.oneof(fc.integer({ min: 0, max: 130 }), u32),
      fc.array(fc.oneof(smallValue.map(BigInt), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), {
        minLength: 6,
        maxLength: 6,
      }),
      (ranges, number, args) => {
        const outcome = runSeccomp(program(ranges), { number, architecture: 0, args })
        assert.equal(outcome.action, expected(ranges, number, args))
      },
    ),
    { numRuns: 2000 },
  )
})

test('seccomp search: a program longer than a jump reaches is still right at every number', () => {
  fc.assert(
    fc.property(rangesOf(600), (ranges) => {
      const bytes = program(ranges)
      for (let number = 0; number < 1900; number += 1) {
        const outcome = runSeccomp(bytes, { number, architecture: 0 })
        assert.equal(outcome.action, expected(ranges, number, []))
      }
    }),
    { numRuns: 25 },
  )
})

test('seccomp search: it is balanced, also where its jumps are long', () => {
  const ranges = Array.from({ length: 1024 }, (_, index): Range => {
    return { first: index, verdict: { kind: 'return', action: 0x5_0000 + (index % 7) } }
  })
  const bytes = program(ranges)
  assert.ok(bytes.length / instructionBytes > 512)
  for (const { first: number } of ranges) {
    const { steps } = runSeccomp(bytes, { number, architecture: 0 })
    // load, ten comparisons, answer; each far jump costs one step more
    assert.ok(steps <= 2 + 2 * 10, `${number}: ${steps} steps`)
  }
})

test('seccomp search: one number between two equal ranges takes one comparison', () => {
  const [a, b]: readonly Verdict[] = [
    { kind: 'return', action: 1 },
    { kind: 'return', action: 2 },
  ]
  assert.ok(a && b)
  const triple = [
    { first: 0, verdict: a },
    { first: 7, verdict: b },
    { first: 8, verdict: a },
  ]
  assert.equal(program(triple).length / instructionBytes, 4)
})

test('seccomp search: without ranges there is no program', () => {
  assert.throws(() => putSearch(newAssembler(), []), RangeError)
})
