/**
 * A bus of the test's own: Debian's dbus-daemon with a configuration that allows everything, and on it a service of ours
 * that owns the name of systemd's manager. It is not systemd: it writes down what it is asked for, and says yes.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exitOf, until } from './bridge.ts'
import { driver, openPeer, wayTo } from './dbus-peer.ts'
import type { Peer } from './dbus-peer.ts'
import { messageType } from './dbus-wire.ts'
import type { Message } from './dbus-wire.ts'

export const manager = {
  destination: 'org.freedesktop.systemd1',
  path: '/org/freedesktop/systemd1',
  interface: 'org.freedesktop.systemd1.Manager',
} as const
/** The one call that filtered profiles name. */
export const restart: Readonly<Record<'destination' | 'path' | 'interface' | 'member', string>> &
  Readonly<{ body: readonly [unit: string, mode: string] }> = {
  ...manager,
  member: 'RestartUnit',
  body: ['a.service', 'replace'],
}
/** Owned by the same service, and never named in a policy. */
export const otherName = 'org.example.Other'

/** What a service was asked for, and by whom: `uid` is the bus's word. */
export type Asked = Readonly<{
  path: string | undefined
  call: string
  body: readonly (string | number)[]
  uid: number
}>

export type PrivateBus = AsyncDisposable &
  Readonly<{
    socket: string
    /** All that the service was asked for, in order. */
    asked: Asked[]
    service: Peer
    /** Another peer, who is nobody in particular. */
    peer: () => Promise<Peer>
    connections: () => Promise<number>
  }>

/** @param directory where its socket is; it stays */
export async function startPrivateBus(directory: string): Promise<PrivateBus> {
  mkdirSync(directory, { recursive: true })
  const socket = join(directory, 'system_bus_socket')
  const configuration = join(directory, 'bus.conf')
  writeFileSync(configuration, configurationOf(socket))
  const words = [`--config-file=${configuration}`, '--nofork', '--nopidfile', '--nosyslog']
  const daemon = spawn('/usr/bin/dbus-daemon', words, { stdio: ['ignore', 'ignore', 'ignore'] })
  await until(() => existsSync(socket), 5000)
  const own = process.geteuid?.() ?? 0
  const peer = async (): Promise<Peer> => await openPeer(wayTo(socket), own)
  const service = await peer()
  const asked: Asked[] = []
  for (const name of [manager.destination, otherName]) {
    const reply = await service.call({ ...driver, member: 'RequestName', body: [name, 0] })
    if (reply?.body?.[0] !== 1) throw new Error(`cannot own ${name}`)
  }
  service.serve((call) => {
    answer(service, call, asked).catch(() => undefined)
  })
  return {
    ...{ socket, asked, service, peer },
    connections: async () => {
      const reply = await service.call({ ...driver, member: 'ListNames' })
      return (reply?.body ?? []).filter((name) => String(name).startsWith(':')).length
    },
    async [Symbol.asyncDispose]() {
      service.close()
      daemon.kill('SIGTERM')
      await exitOf(daemon)
    },
  }
}

async function answer(service: Peer, call: Message, asked: Asked[]): Promise<void> {
  const who = { ...driver, member: 'GetConnectionUnixUser', body: [call.sender ?? ''] }
  const uid = Number((await service.call(who))?.body?.[0])
  asked.push({
    ...{ path: call.path, call: `${call.interface ?? ''}.${call.member ?? ''}` },
    ...{ body: call.body ?? [], uid },
  })
  const about = { replySerial: call.serial, destination: call.sender ?? '' }
  const job = { signature: 'o', body: ['/org/freedesktop/systemd1/job/1'] }
  service.send({ ...about, ...job, type: messageType.return, serial: service.next() })
}

/** The whole of a permissive system bus: whoever gets past a filter here can do all that there is to do. */
function configurationOf(socket: string): string {
  return `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=${socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow send_type="signal"/>
    <allow eavesdrop="true"/>
    <allow receive_type="method_call"/>
    <allow receive_type="signal"/>
  </policy>
</busconfig>
`
}
