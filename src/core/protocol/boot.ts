import {
  openWriter,
  writeBytes,
  writeText16,
  writeU16,
  writeU32,
  writeU8,
  written,
} from './bytes.ts'
import { wireVersion } from './layout.ts'
import type { Supervisor } from './supervisor.ts'

/** What the launcher needs to know of one service: PLAN and COMMAND bytes (spec/plan.md). */
export type BootService = Readonly<{ plan: Uint8Array; command: Uint8Array }>

/** In cgroup v2, and in the v1 hierarchies of the two controllers that limit runs. */
export type CgroupPaths = Readonly<{ unified: string; pids: string; memory: string }>

/** What `belladonna up` leaves for the launcher. */
export type Boot = Readonly<{
  runSocket: string
  bridgeSocket: string
  /** Connections of one uid at once. */
  perUser: number
  supervisor: Supervisor
  /** Whether those are right below the cgroup that the launcher is started in. */
  isInside: boolean
  /** Directories that the launcher makes for itself; empty where the host has none for us. */
  cgroups: CgroupPaths
  executor: BootService
  broker: BootService
  /** How each relay is started. */
  relay: BootService
  /** And one that also records. */
  recorder: BootService
}>

const magic = 0x3142_4442 // "BDB1"

/** The boot file's bytes. @see spec/plan.md, "Boot file" */
export function formatBoot({
  runSocket,
  bridgeSocket,
  perUser,
  supervisor,
  isInside,
  cgroups,
  executor,
  broker,
  relay,
  recorder,
}: Boot): Uint8Array {
  const writer = openWriter(65_536)
  writeU32(writer, magic)
  writeU32(writer, wireVersion)
  writeText16(writer, runSocket)
  writeText16(writer, bridgeSocket)
  writeU32(writer, perUser)
  writeU32(writer, supervisor.aliveEveryMs)
  writeU16(writer, supervisor.address.length)
  writeBytes(writer, supervisor.address)
  writeU8(writer, isInside ? 1 : 0)
  for (const path of [cgroups.unified, cgroups.pids, cgroups.memory]) writeText16(writer, path)
  for (const { plan, command } of [executor, broker, relay, recorder]) {
    writeU32(writer, plan.length)
    writeBytes(writer, plan)
    writeU32(writer, command.length)
    writeBytes(writer, command)
  }
  return written(writer)
}
