/**
 * Where the launcher says how it is, by the protocol of systemd's service manager. Here the variables of the environment are
 * read; the launcher gets a socket address as bytes, and reads nothing.
 *
 * @see sd_notify(3), sd_watchdog_enabled(3), unix(7)
 */

/** `address`: a `struct sockaddr_un`, empty when nobody listens. `aliveEveryMs`: 0 when nobody waits for that. */
export type Supervisor = Readonly<{ address: Uint8Array; aliveEveryMs: number }>

export const noSupervisor: Supervisor = { address: new Uint8Array(), aliveEveryMs: 0 }

const unixFamily = [1, 0] as const
/** `sun_path` has 108 bytes, of which a path needs one for its NUL. */
const maxPathBytes = 107

/**
 * What a process with this environment was told. Other kinds of sockets than Unix ones, which newer managers of virtual
 * machines give, are nobody.
 *
 * @param pid whose environment it is: a watchdog may be another process's
 */
export function supervisorOf(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): Supervisor {
  const path = new TextEncoder().encode(environment['NOTIFY_SOCKET'] ?? '')
  if (path.length > maxPathBytes) return noSupervisor
  const [first] = path
  const isAbstract = first === 0x40 // "@" stands for the NUL that an abstract name begins with
  if (!isAbstract && first !== 0x2f) return noSupervisor
  const address = Uint8Array.of(...unixFamily, isAbstract ? 0 : first, ...path.subarray(1))
  return { address, aliveEveryMs: aliveEveryMs(environment, pid) }
}

/** Twice as often as the manager wants, as sd_watchdog_enabled(3) recommends. */
function aliveEveryMs(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): number {
  const limitUs = environment['WATCHDOG_USEC'] ?? ''
  const whose = environment['WATCHDOG_PID'] ?? `${pid}`
  if (!/^[1-9][0-9]{3,14}$/.test(limitUs) || whose !== `${pid}`) return 0
  return Math.min(Math.max(1, Math.floor(Number(limitUs) / 2000)), 0xffff_ffff)
}
