import { wireFeature } from '../protocol/layout.ts'

/**
 * What can be in force for a run, by the names that entries, `status` and the metrics use: bit, then name.
 *
 * docs/reference/sandbox.md has a row for each (a test compares), in this order.
 */
export const featureNames: readonly (readonly [bit: number, name: string])[] = [
  [wireFeature.pidNamespace, 'pid_namespace'],
  [wireFeature.mountNamespace, 'mount_namespace'],
  [wireFeature.ipcNamespace, 'ipc_namespace'],
  [wireFeature.utsNamespace, 'uts_namespace'],
  [wireFeature.networkNamespace, 'network_namespace'],
  [wireFeature.networkSharedEmpty, 'network_shared_empty'],
  [wireFeature.cgroupNamespace, 'cgroup_namespace'],
  [wireFeature.cgroupKill, 'cgroup_kill'],
  [wireFeature.cgroupLimits, 'cgroup_limits'],
  [wireFeature.rootReadOnly, 'root_read_only'],
  [wireFeature.privateTmp, 'private_tmp'],
  [wireFeature.capabilities, 'capabilities'],
  [wireFeature.noNewPrivs, 'no_new_privs'],
  [wireFeature.seccomp, 'seccomp'],
  [wireFeature.landlockScope, 'landlock_scope'],
  [wireFeature.rlimits, 'rlimits'],
  [wireFeature.userNamespace, 'user_namespace'],
  [wireFeature.peerPidfd, 'peer_pidfd'],
  [wireFeature.landlockFiles, 'landlock_files'],
  [wireFeature.landlockTcp, 'landlock_tcp'],
  [wireFeature.landlockTruncate, 'landlock_truncate'],
  [wireFeature.landlockIoctl, 'landlock_ioctl'],
  [wireFeature.sessionKeyring, 'session_keyring'],
  [wireFeature.dbusFiltered, 'dbus_filtered'],
  [wireFeature.detached, 'detached'],
  [wireFeature.recorded, 'recorded'],
]

/** Stands among the features of a run, and says that something does not hold: its profile is `escapable = true`. */
export const escapableMark = 'escapable'

/**
 * The names of a feature mask, in the order of the bits.
 *
 * A bit that this table does not know is shown as `bit_N`: a newer launcher's word is passed on, not dropped.
 */
export function formatFeatures(mask: number): readonly string[] {
  const names = new Map(featureNames)
  const shown: string[] = []
  for (let index = 0; index < 32; index++) {
    const bit = 2 ** index
    if (Math.floor(mask / bit) % 2 === 1) shown.push(names.get(bit) ?? `bit_${index}`)
  }
  return shown
}
