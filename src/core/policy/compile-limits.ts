import type { ProfileSource } from './profile-source.ts'
import { parseByteSize, parseDurationMs } from '../toml/quantity.ts'
import { openFields, readInteger, readParsed, readWithin } from '../toml/reader.ts'
import type { Fields, Read, Report } from '../toml/reader.ts'

/** The caps of a run whose profile names none; `outputBytes` is for output that is not passed. */
export const defaultLimits: ProfileSource['limits'] = {
  timeMs: 30_000,
  memoryBytes: 256 * 1024 ** 2,
  processes: 32,
  outputBytes: 1024 ** 2,
}

const maxTimeMs = 86_400_000
const minMemoryBytes = 1024 ** 2
const maxMemoryBytes = 1024 ** 4
const maxProcesses = 4096
const maxOutputBytes = 1024 ** 4

type WrittenLimits = Omit<ProfileSource['limits'], 'outputBytes'> &
  Readonly<{ outputBytes: number | null; hasOwnTime: boolean }>

/** A profile's limits, and whether it says itself how long a run may take. */
export type ReadLimits = Readonly<{ limits: ProfileSource['limits']; hasOwnTime: boolean }>

/** Reads a profile's `limits`. A cap on output that nothing would hold is a problem. */
export function readLimits(
  report: Report,
  fields: Fields,
  output: ProfileSource['output'],
): ReadLimits {
  const unsaid = { ...defaultLimits, outputBytes: null, hasOwnTime: false }
  const { hasOwnTime, outputBytes, ...limits } = fields.read('limits', readTable, unsaid)
  if (output !== 'pass') {
    const capped = outputBytes ?? defaultLimits.outputBytes
    return { limits: { ...limits, outputBytes: capped }, hasOwnTime }
  }
  if (outputBytes !== null) {
    const message = 'a limit on output holds only with output = "capped" or "recorded"'
    report.add(fields.place('limits'), 'value_invalid', message)
  }
  return { limits: { ...limits, outputBytes: 0 }, hasOwnTime }
}

const readTable: Read<WrittenLimits> = (report, node) => {
  const fields = openFields(report, node, {
    required: [],
    optional: ['time', 'memory', 'processes', 'output'],
  })
  const { timeMs, memoryBytes, processes } = defaultLimits
  const duration = readParsed(parseDurationMs, 'a duration like "30s"')
  const size = readParsed(parseByteSize, 'a size like "256M"')
  return {
    hasOwnTime: fields.has('time'),
    timeMs: fields.read('time', readWithin(duration, 1, maxTimeMs, 'at most "1d"'), timeMs),
    memoryBytes: fields.read(
      'memory',
      readWithin(size, minMemoryBytes, maxMemoryBytes, 'a size from "1M" to "1024G"'),
      memoryBytes,
    ),
    processes: fields.read('processes', readInteger(1, maxProcesses), processes),
    outputBytes: fields.read(
      'output',
      readWithin(size, 1, maxOutputBytes, 'a size up to "1024G"'),
      null,
    ),
  }
}
