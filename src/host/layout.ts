/** Where a bridge keeps its things, below its root (DESIGN.md section 12). */
export type BridgePaths = Readonly<{
  etc: string
  /** The daemon's configuration: root's. */
  configuration: string
  lib: string
  /** The log: the broker's, 0700. */
  log: string
  /** The compiled policy: root's. */
  policy: string
  /** Receipts: root's, readable by the broker. */
  receipts: string
  /** What runs wrote, where that is recorded: relays', readable by the broker. */
  recordings: string
  /** Keys and what authorises: root's, 0700. */
  state: string
  /** Copies of executables that others can change: root's, 0700, empty when nothing runs. */
  copies: string
  run: string
  /** Where runs meet the proxies of their filtered sockets: root's, 0700, empty when nothing runs. */
  buses: string
  runSocket: string
  bridgeSocket: string
  bootFile: string
}>

/** @param root the `--root` directory, or the empty string for the host itself */
export function bridgePaths(root: string): BridgePaths {
  const lib = `${root}/var/lib/belladonna`
  const run = `${root}/run/belladonna`
  return {
    etc: `${root}/etc/belladonna`,
    configuration: `${root}/etc/belladonna/belladonna.toml`,
    lib,
    log: `${lib}/log`,
    policy: `${lib}/policy`,
    receipts: `${lib}/receipts`,
    recordings: `${lib}/recordings`,
    state: `${lib}/state`,
    copies: `${lib}/copies`,
    run,
    buses: `${run}/buses`,
    runSocket: `${run}/run.sock`,
    bridgeSocket: `${run}/bridge.sock`,
    bootFile: `${run}/boot`,
  }
}
