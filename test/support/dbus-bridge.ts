/** A bridge with a bus of its own beside it, and actions whose runs reach that bus: filtered, and not. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bridgePaths } from '../../src/host/layout.ts'
import { grantedActionText as granted } from './action-text.ts'
import { caller, readProc, startBridge } from './bridge.ts'
import type { TestBridge } from './bridge.ts'
import { openPeer } from './dbus-peer.ts'
import type { Peer, Way } from './dbus-peer.ts'
import { manager, startPrivateBus } from './private-bus.ts'
import type { PrivateBus } from './private-bus.ts'

/** A run that carries bytes between its client and the bus: who holds it speaks as the run. */
export type Reached = Readonly<{
  peer: Peer
  /** The exit status of bell, once the run has ended. */
  end: Promise<number | null>
  hangUp: () => void
}>

export type DbusBridge = AsyncDisposable &
  Readonly<{
    directory: string
    bridge: TestBridge
    bus: PrivateBus
    way: (action: string) => Way & Readonly<{ end: Promise<number | null>; kill: () => void }>
    reach: (action: string) => Promise<Reached>
    outcomeOf: TestBridge['outcomeOf']
    /** Process ids of live proxies of this bridge. */
    proxies: () => readonly number[]
    /** What lies where runs meet their proxies. */
    left: () => readonly string[]
  }>

export async function startDbusBridge(): Promise<DbusBridge> {
  const directory = mkdtempSync('/var/lib/belladonna-test.')
  chmodSync(directory, 0o755)
  const bus = await startPrivateBus(join(directory, 'dbus'))
  writeFileSync(join(directory, 'carry.c'), carry)
  writeFileSync(join(directory, 'idle.c'), idle)
  for (const name of ['carry', 'idle']) {
    execFileSync('gcc', ['-O1', '-o', join(directory, name), join(directory, `${name}.c`)])
  }
  const bridge = await startBridge({ policy: policyFor(directory, bus.socket) })
  const way: DbusBridge['way'] = (action) => {
    const identity = ['--reuid', `${caller.uid}`, '--regid', `${caller.gid}`, '--groups', '27']
    const words = [...identity, bridge.bellPath, '-S', bridge.socket, action]
    const child = spawn('/usr/bin/setpriv', words, { stdio: ['pipe', 'pipe', 'ignore'] })
    const end = new Promise<number | null>((resolve) => child.once('exit', resolve))
    return { to: child.stdin, from: child.stdout, end, kill: () => child.kill('SIGKILL') }
  }
  return {
    ...{ directory, bridge, bus, way },
    reach: async (action) => {
      const { end, ...both } = way(action)
      const peer = await openPeer(both, 0)
      return { peer, end, hangUp: () => both.to.end() }
    },
    outcomeOf: bridge.outcomeOf,
    proxies: () => proxiesOf(bus.socket),
    left: () => readdirSync(bridgePaths(bridge.root).buses),
    async [Symbol.asyncDispose]() {
      assert.deepEqual((await bridge.verify()).problems, [])
      assert.equal(await bridge.stop(), 0)
      await bridge[Symbol.asyncDispose]()
      await bus[Symbol.asyncDispose]()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function proxiesOf(socket: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const words = readProc(`${pid}/cmdline`).split('\0')
      return words[0] === 'xdg-dbus-proxy' && words.includes(`unix:path=${socket}`)
    })
}

/** `filtered` may call one method on one object, `anywhere` the same on each; `open` reaches the bus itself. */
function policyFor(directory: string, socket: string): string {
  const read = `read = ["/usr", "${join(directory, 'carry')}"]\nstdin = "stream"`
  const call = `${manager.interface}.RestartUnit`
  const named = `{ name = "${manager.destination}", call = "${call}", path = "${manager.path}" }`
  const sockets = (calls: string): string => `sockets = [{ path = "${socket}", dbus = [${calls}] }]`
  const carried = [join(directory, 'carry'), socket]
  const env = `env = { DBUS_SYSTEM_BUS_ADDRESS = "unix:path=${socket}" }`
  const send = ['/usr/bin/dbus-send', '--system', '--print-reply', `--dest=${manager.destination}`]
  const unit = ['string:a.service', 'string:replace']
  return `schema = 1
[profile.filtered]
${read}
${sockets(named)}
[profile.anywhere]
${read}
${sockets(`"${call}"`)}
[profile.capped]
${read}
output = "capped"
${sockets(named)}
limits = { time = "1m" }
[profile.open]
${read}
sockets = [{ path = "${socket}" }]
escapable = true
${granted('filtered', 'filtered', carried)}
${granted('anywhere', 'anywhere', carried)}
${granted('open', 'open', carried)}
${granted('restart', 'capped', [...send, manager.path, call, ...unit], env)}
${granted('stop', 'capped', [...send, manager.path, `${manager.interface}.StopUnit`, ...unit], env)}
${granted('as.daemon', 'filtered', [...send, manager.path, call, ...unit], env, 'daemon')}
${granted('look', 'filtered', ['/usr/bin/find', '/', '-xdev', '-not', '-path', '/usr/*', '-type', 's', '-o', '-path', '*bus*', '-not', '-path', '/usr/*'])}
${existsSync(busctl) ? busctlAction(env) : ''}
${granted('spoil', 'filtered', ['/usr/bin/touch', '/bus-proxy/x'])}
${granted('open.true', 'open', ['/usr/bin/true'])}
${granted('true.filtered', 'filtered', ['/usr/bin/true'])}
${granted('sleep', 'capped', ['/usr/bin/sleep', '30'])}
${granted('sleep.daemon', 'capped', ['/usr/bin/sleep', '30'], '', 'daemon')}
`
}

/** Of the package systemd, which a host of tests may not have. */
export const busctl = '/usr/bin/busctl'

function busctlAction(env: string): string {
  const call = [manager.destination, manager.path, manager.interface, 'RestartUnit']
  return granted('busctl', 'capped', [busctl, 'call', ...call, 'ss', 'a.service', 'replace'], env)
}

/** Stays, whatever it is told. */
const idle = `
#include <poll.h>
int main(void) { return poll(0, 0, -1); }
`

/** Connects to argv[1] and carries bytes both ways, until either end is closed. */
const carry = `
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static int move(int from, int to) {
  static char bytes[65536];
  ssize_t n = read(from, bytes, sizeof bytes);
  for (ssize_t done = 0; done < n;) { ssize_t w = write(to, bytes + done, n - done); if (w < 0) return 0; done += w; }
  return n > 0;
}
int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  strncpy(address.sun_path, argv[argc - 1], sizeof address.sun_path - 1);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return 2;
  for (;;) {
    struct pollfd both[2] = {{0, POLLIN, 0}, {fd, POLLIN, 0}};
    if (poll(both, 2, -1) < 0) return 3;
    if (both[0].revents != 0 && !move(0, fd)) return 0;
    if (both[1].revents != 0 && !move(fd, 1)) return 4;
  }
}
`
