import { BelladonnaError } from '../error.ts'

/**
 * Names of capabilities(7) in the order of their numbers: the first is capability 0.
 *
 * @see include/uapi/linux/capability.h; CAP_LAST_CAP is 40 since Linux 5.9
 */
export const capabilityNames: readonly string[] = `
CAP_CHOWN CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER CAP_FSETID CAP_KILL CAP_SETGID CAP_SETUID
CAP_SETPCAP CAP_LINUX_IMMUTABLE CAP_NET_BIND_SERVICE CAP_NET_BROADCAST CAP_NET_ADMIN CAP_NET_RAW
CAP_IPC_LOCK CAP_IPC_OWNER CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_CHROOT CAP_SYS_PTRACE CAP_SYS_PACCT
CAP_SYS_ADMIN CAP_SYS_BOOT CAP_SYS_NICE CAP_SYS_RESOURCE CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_MKNOD
CAP_LEASE CAP_AUDIT_WRITE CAP_AUDIT_CONTROL CAP_SETFCAP CAP_MAC_OVERRIDE CAP_MAC_ADMIN CAP_SYSLOG
CAP_WAKE_ALARM CAP_BLOCK_SUSPEND CAP_AUDIT_READ CAP_PERFMON CAP_BPF CAP_CHECKPOINT_RESTORE`
  .trim()
  .split(/\s+/)

/** The kernel's number of a capability, or undefined for a name that capabilities(7) does not have. */
export function capabilityNumber(name: string): number | undefined {
  const number = capabilityNames.indexOf(name)
  return number < 0 ? undefined : number
}

/**
 * The numbers of capabilities that our own code names.
 *
 * @throws {BelladonnaError} `input_invalid` on a name that capabilities(7) does not have
 */
export function capabilityNumbers(...names: readonly string[]): readonly number[] {
  return names.map((name) => {
    const number = capabilityNumber(name)
    if (number !== undefined) return number
    throw new BelladonnaError('input_invalid', `capability numbers: no capability ${name}`)
  })
}

/** The name of a capability, or undefined for a number that is newer than this table. */
export function capabilityName(number: number): string | undefined {
  return capabilityNames[number]
}

/**
 * Capability numbers as a plan holds them: bit n is capability n.
 *
 * @throws {BelladonnaError} `input_invalid` on a number outside 0..63
 */
export function capabilityMask(numbers: readonly number[]): bigint {
  let mask = 0n
  for (const number of numbers) {
    if (!Number.isInteger(number) || number < 0 || number > 63) {
      throw new BelladonnaError('input_invalid', `capability mask: no capability ${number}`)
    }
    mask |= 1n << BigInt(number)
  }
  return mask
}
