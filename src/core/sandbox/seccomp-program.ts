/**
 * An assembler for seccomp's classic BPF.
 *
 * A classic BPF jump goes forward only, and a conditional one at most 255 instructions far. So the program is built
 * from its end: whatever a jump may go to is there already, and how far away it is, is known.
 *
 * @see Documentation/networking/filter.rst and seccomp(2)
 */
import type { Verdict } from './seccomp-policy.ts'

/** One kernel `struct sock_filter`: u16 code, u8 jt, u8 jf, u32 k. */
type Instruction = Readonly<{ code: number; ifTrue: number; ifFalse: number; k: number }>

/** How many instructions lie behind a place; a label counts from the end, so it stays right while code is put before it. */
export type Label = number

/** A program under construction, growing towards its beginning. Each call returns the label of what it put there. */
export type Assembler = Readonly<{
  /** Ends the program with a SECCOMP_RET_* value. Reuses an answer that is near enough. */
  answer: (action: number) => Label
  /** Loads 32 bits of `struct seccomp_data` and goes on at `next`. */
  load: (offset: number, next: Label) => Label
  /** Compares the loaded value with `k`, unsigned; `any_bit` holds if they have a bit in common. */
  branch: (test: 'equals' | 'at_least' | 'any_bit', k: number, yes: Label, no: Label) => Label
  /** Whatever a verdict says; loads the argument that it looks at. Reuses one that is near enough. */
  verdict: (verdict: Verdict) => Label
  /** The instructions so far, 8 bytes each, little-endian. */
  bytes: () => Uint8Array
}>

/** Numbers from `first` up to the next range's `first` get `verdict`. */
export type Range = Readonly<{ first: number; verdict: Verdict }>

/** Bytes of one instruction. */
export const instructionBytes = 8

// linux/bpf_common.h: class, size, mode, operation, source
const code = {
  load: 0x20,
  return: 0x06,
  jump: 0x05,
  equals: 0x15,
  at_least: 0x35,
  any_bit: 0x45,
  and: 0x54,
}
// struct seccomp_data: int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]
const firstArgumentOffset = 16
// A conditional jump reaches 255; whoever is farther away is put there again, or reached in two jumps.
const reach = 240

/** An empty program. */
export function newAssembler(): Assembler {
  // Last instruction first; only `put` appends.
  const reversed: Instruction[] = []
  const answers = new Map<number, Label>()
  const verdicts = new Map<Verdict, Label>()

  function put(operation: number, k: number, ifTrue = 0, ifFalse = 0): Label {
    reversed.push({ code: operation, ifTrue, ifFalse, k })
    return reversed.length
  }
  function isNear(label: Label): boolean {
    return reversed.length - label < reach
  }
  function near(label: Label): Label {
    return isNear(label) ? label : put(code.jump, reversed.length - label)
  }
  function reuse<K>(known: Map<K, Label>, key: K, make: () => Label): Label {
    const label = known.get(key)
    if (label !== undefined && isNear(label)) return label
    const made = make()
    known.set(key, made)
    return made
  }
  function answer(action: number): Label {
    return reuse(answers, action, () => put(code.return, action))
  }
  function load(offset: number, next: Label): Label {
    if (next !== reversed.length) put(code.jump, reversed.length - next)
    return put(code.load, offset)
  }
  function keepBits(mask: number, next: Label): Label {
    if (next !== reversed.length) put(code.jump, reversed.length - next)
    return put(code.and, mask)
  }
  function branch(
    test: 'equals' | 'at_least' | 'any_bit',
    k: number,
    yes: Label,
    no: Label,
  ): Label {
    const [nearYes, nearNo] = [near(yes), near(no)]
    return put(code[test], k, reversed.length - nearYes, reversed.length - nearNo)
  }
  function verdict(wanted: Verdict): Label {
    if (wanted.kind === 'return') return answer(wanted.action)
    return reuse(verdicts, wanted, () => {
      let next = verdict(wanted.otherwise)
      for (const { kind, value, then } of wanted.tests.toReversed()) {
        next = branch(kind, value, verdict(then), next)
      }
      if (wanted.mask !== 0xffff_ffff) next = keepBits(wanted.mask, next)
      return load(firstArgumentOffset + 8 * wanted.argument, next)
    })
  }
  return { answer, load, branch, verdict, bytes: () => encode(reversed) }
}

/**
 * A search for the range that holds the loaded number: balanced, so at most ⌈log₂ ranges⌉ comparisons.
 *
 * One number between two ranges of the same verdict, the usual case, takes one comparison instead of two.
 *
 * @param ranges ascending by `first`; the first one also takes every number below it
 */
export function putSearch(assembler: Assembler, ranges: readonly Range[]): Label {
  const middle = ranges.length >> 1
  const [left, right] = [ranges.slice(0, middle), ranges.slice(middle)]
  const [before] = left
  const [pivot, after] = right
  if (pivot === undefined) throw new RangeError('seccomp search: no ranges')
  if (before === undefined) return assembler.verdict(pivot.verdict)
  const isIsland = after?.first === pivot.first + 1 && after.verdict === before.verdict
  if (isIsland && ranges.length === 3) {
    const outside = assembler.verdict(before.verdict)
    return assembler.branch('equals', pivot.first, assembler.verdict(pivot.verdict), outside)
  }
  const above = putSearch(assembler, right)
  const below = putSearch(assembler, left)
  return assembler.branch('at_least', pivot.first, above, below)
}

function encode(reversed: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(reversed.length * instructionBytes)
  const view = new DataView(bytes.buffer)
  for (const [index, { code: operation, ifTrue, ifFalse, k }] of reversed.toReversed().entries()) {
    const at = index * instructionBytes
    view.setUint16(at, operation, true)
    view.setUint8(at + 2, ifTrue)
    view.setUint8(at + 3, ifFalse)
    view.setUint32(at + 4, k, true)
  }
  return bytes
}
