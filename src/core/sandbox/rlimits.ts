import type { Rlimit } from './plan.ts'
import { unlimited } from './plan.ts'

/** RLIMIT_* of setrlimit(2), the same on x86_64 and aarch64. */
const resource = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const

const kib = 1024n
const mib = 1024n * kib

/**
 * Every limit that Linux has, so that nothing of the launcher's own start is inherited (C30).
 *
 * No core dump: it would write what the command knew to where the host's core_pattern says. One byte is too small for
 * any file, and where core_pattern is a program it is the one limit that the kernel heeds (coredump_pipe in its
 * fs/coredump.c): 0 would not hold that program back. Processes and memory are the cgroup's: NPROC counts a user's processes on the whole host,
 * AS counts address space that nobody uses.
 *
 * @param openFiles soft and hard RLIMIT_NOFILE
 */
export function freshRlimits(openFiles: Readonly<{ soft: number; hard: number }>): Rlimit[] {
  return [
    same(resource.cpu, unlimited),
    same(resource.fsize, unlimited),
    same(resource.data, unlimited),
    { resource: resource.stack, soft: 8n * mib, hard: unlimited },
    same(resource.core, 1n),
    same(resource.rss, unlimited),
    same(resource.nproc, unlimited),
    { resource: resource.nofile, soft: BigInt(openFiles.soft), hard: BigInt(openFiles.hard) },
    same(resource.memlock, 64n * kib),
    same(resource.as, unlimited),
    same(resource.locks, unlimited),
    same(resource.sigpending, 1024n),
    same(resource.msgqueue, 800n * kib),
    same(resource.nice, 0n),
    same(resource.rtprio, 0n),
    same(resource.rttime, unlimited),
  ]
}

function same(number: number, value: bigint): Rlimit {
  return { resource: number, soft: value, hard: value }
}
