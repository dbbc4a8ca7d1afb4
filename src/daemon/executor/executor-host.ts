import type { Sign } from '../../core/audit/ed25519.ts'
import type { DaemonSettings } from '../../core/configuration/daemon-settings.ts'
import type { CompiledProfile } from '../../core/policy/compiled.ts'
import type { Permit } from '../../core/policy/decide.ts'
import type { GrantedPath } from '../../core/policy/granted-path.ts'
import type { UnusablePolicy, UsablePolicy } from '../../core/policy/reload.ts'
import type { Bind } from '../../core/sandbox/command.ts'
import type { BusDirectory } from '../../host/bus-directory.ts'
import type { Measure, Measured } from '../../host/executable.ts'
import type { OpenedPaths, PathUsers, RefusedPath } from '../../host/granted-path.ts'
import type { UsedGrants } from './used-grants.ts'

/** Everything the executor may do to the world. Tests pass plain functions. */
export type ExecutorHost = Readonly<{
  hostId: string
  toLauncher: (frame: Uint8Array) => void
  toBroker: (frame: Uint8Array) => void
  nowMs: () => number
  measure: Measure
  /** A directory for a run and its proxy alone; throws `path_refused`. */
  makeBus: () => BusDirectory
  /** PLAN bytes of a profile of the policy in force. */
  planOf: (profile: CompiledProfile) => Uint8Array
  /** Looks at what parameters name. */
  openPaths: (paths: readonly GrantedPath[], users: PathUsers) => OpenedPaths | RefusedPath
  /** COMMAND bytes of a permit. */
  commandOf: (permit: Permit, measured: Measured, binds: readonly Bind[]) => Uint8Array
  /** Returns once the records are on disk; throws `log_failed`, and then nothing is ever opened again. */
  appendReceipts: (records: readonly Uint8Array[]) => void
  /** Whether the disk is so full that nothing new may begin. */
  isShort: () => boolean
  /** Reads the installed policy again. */
  loadPolicy: () => UsablePolicy | UnusablePolicy
  /** Another policy is in force, before any request is decided under it. */
  adopted: (policy: UsablePolicy) => void
  sign: Sign
  /** Makes the salts of commitments to secrets. */
  commitmentKey: Uint8Array
  usedGrants: UsedGrants
  settings: Pick<DaemonSettings, 'prepared' | 'recordWithinMs'>
}>
