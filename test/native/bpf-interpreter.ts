/**
 * Runs a seccomp program as the kernel would, for tests: an oracle that shares no code with the assembler.
 *
 * It refuses what the kernel's checker refuses (seccomp_check_filter and bpf_check_classic in kernel/seccomp.c and
 * net/core/filter.c), as far as our programs could do it.
 */

/** What a program sees of one system call. */
export type SeccompData = Readonly<{
  number: number
  /** AUDIT_ARCH_*. */
  architecture: number
  /** Up to six; missing ones are 0. */
  args?: readonly bigint[]
}>

/** The action returned, what was loaded on the way, and how many instructions that took. */
export type Outcome = Readonly<{ action: number; loads: readonly number[]; steps: number }>

/** @throws {Error} on an instruction that the kernel would not take, or a jump out of the program */
export function runSeccomp(program: Uint8Array, data: SeccompData): Outcome {
  if (program.length === 0 || program.length % 8 !== 0 || program.length > 4096 * 8) {
    throw new Error(`a program of ${program.length} bytes`)
  }
  const code = new DataView(program.buffer, program.byteOffset, program.length)
  const memory = seccompData(data)
  const loads: number[] = []
  let accumulator = 0
  let at = 0
  for (let steps = 1; ; steps++) {
    if (at * 8 >= program.length) throw new Error(`jump out of the program, to ${at}`)
    const operation = code.getUint16(at * 8, true)
    const k = code.getUint32(at * 8 + 4, true)
    const branch = (holds: boolean): number => at + 1 + code.getUint8(at * 8 + (holds ? 2 : 3))
    switch (operation) {
      case 0x06:
        return { action: k, loads, steps }
      case 0x20:
        if (k % 4 !== 0) throw new Error(`unaligned load of ${k}`)
        accumulator = memory.getUint32(k, true)
        loads.push(k)
        at += 1
        break
      case 0x54:
        accumulator = (accumulator & k) >>> 0
        at += 1
        break
      case 0x05:
        at += 1 + k
        break
      case 0x15:
        at = branch(accumulator === k)
        break
      case 0x35:
        at = branch(accumulator >= k)
        break
      case 0x45:
        at = branch((accumulator & k) !== 0)
        break
      default:
        throw new Error(`instruction ${at}: operation 0x${operation.toString(16)}`)
    }
  }
}

/** struct seccomp_data, 64 bytes. */
function seccompData({ number, architecture, args = [] }: SeccompData): DataView {
  const memory = new DataView(new ArrayBuffer(64))
  memory.setUint32(0, number, true)
  memory.setUint32(4, architecture, true)
  memory.setBigUint64(8, 0x7fff_1234_5678_9abcn, true)
  for (const [index, value] of args.entries()) memory.setBigUint64(16 + 8 * index, value, true)
  return memory
}
