/** The keys `tcp_connect` and `tcp_bind` of a profile. */
import type { TcpPorts } from '../sandbox/landlock.ts'
import type { ProfileSource } from './profile-source.ts'
import { readInteger, readList } from '../toml/reader.ts'
import type { Fields, Report } from '../toml/reader.ts'

const maxPorts = 64
const maxPort = 0xffff

/**
 * Reads both. A key that is absent leaves the direction as free as the network is; an empty list closes it.
 *
 * 0 is no port to connect to; to bind, it is one that the kernel picks.
 */
export function readTcpPorts(
  report: Report,
  fields: Fields,
  network: ProfileSource['network'],
): TcpPorts {
  for (const key of ['tcp_connect', 'tcp_bind']) {
    if (network !== 'none' || !fields.has(key)) continue
    const message = `${key} needs network = "loopback" or "host": there is no port in an empty network`
    report.add(fields.place(key), 'network_required', message)
  }
  return {
    connect: readPorts(report, fields, 'tcp_connect', 1),
    bind: readPorts(report, fields, 'tcp_bind', 0),
  }
}

function readPorts(
  report: Report,
  fields: Fields,
  key: string,
  least: number,
): readonly number[] | null {
  const ports = fields.read(key, readList(readInteger(least, maxPort), maxPorts), null)
  if (ports === null) return null
  const once = [...new Set(ports)].sort((a, b) => a - b)
  if (once.length < ports.length) {
    report.add(fields.place(key), 'duplicate', 'a port stands in this list twice')
  }
  return once
}
