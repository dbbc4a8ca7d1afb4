import { parseByteSize, parseDurationMs } from '../toml/quantity.ts'
import { isCleanPath } from '../identity.ts'
import { quote } from '../toml/problem.ts'
import { readInteger, readParsed, readTextLike, readWithin } from '../toml/reader.ts'
import type { Read } from '../toml/reader.ts'

/** A key of the configuration. The table below is the reference page and the man page too. */
export type ConfigurationKey<T> = Readonly<{
  table: string
  name: string
  /** What may stand there, for people. */
  form: string
  /** Without the key, or without the file. */
  fallback: T
  /** For people, when the fallback is no value that could be written. */
  without: string | null
  read: Read<T>
  show: (value: T) => string
  about: string
}>

type About = Pick<ConfigurationKey<unknown>, 'table' | 'name' | 'about'>

function duration(
  fallback: number,
  min: number,
  max: number,
  about: About,
): ConfigurationKey<number> {
  const form = `a duration from ${showDuration(min)} to ${showDuration(max)}`
  const read = readWithin(readParsed(parseDurationMs, 'a duration like "30s"'), min, max, form)
  const show = (value: number): string => quote(showDuration(value))
  return { ...about, form, fallback, without: null, read, show }
}

function size(fallback: number, min: number, max: number, about: About): ConfigurationKey<number> {
  const form = `a size from ${showSize(min)} to ${showSize(max)}`
  const read = readWithin(readParsed(parseByteSize, 'a size like "4M"'), min, max, form)
  return { ...about, form, fallback, without: null, read, show: (value) => quote(showSize(value)) }
}

function count(fallback: number, min: number, max: number, about: About): ConfigurationKey<number> {
  const form = `an integer from ${min} to ${max}`
  return { ...about, form, fallback, without: null, read: readInteger(min, max), show: String }
}

function text(
  form: string,
  without: string,
  read: Read<string>,
  about: About,
): ConfigurationKey<string | null> {
  const show = (value: string | null): string => (value === null ? without : quote(value))
  return { ...about, form, fallback: null, without, read, show }
}

const absolutePath = readParsed(
  (path) => (isCleanPath(path) ? path : undefined),
  'an absolute path without empty, "." or ".." parts',
)

/** All keys but `schema`. Each is obeyed; test/e2e/configuration.test.ts shows it of each. */
export const configurationKeys: Readonly<{
  brokerUser: ConfigurationKey<string | null>
  cgroupParent: ConfigurationKey<string | null>
  perUser: ConfigurationKey<number>
  prepared: ConfigurationKey<number>
  recordWithinMs: ConfigurationKey<number>
  statusClients: ConfigurationKey<number>
  outcomeDelayMs: ConfigurationKey<number>
  signEveryMs: ConfigurationKey<number>
  spaceAheadBytes: ConfigurationKey<number>
  policySource: ConfigurationKey<string | null>
}> = {
  brokerUser: text(
    'a user of /etc/passwd',
    '"belladonna", or uid and gid 61200 where there is no such user',
    readTextLike(/^[a-z_][a-z0-9_-]{0,31}$/, 'the name of a user'),
    {
      ...{ table: 'broker', name: 'user' },
      about:
        'Whose uid and gid the broker has, and the log. It must be an ordinary user that nothing else uses. Without effect for an unprivileged bridge.',
    },
  ),
  cgroupParent: text(
    'an absolute path within the cgroup hierarchies',
    'the cgroup of the caller of `belladonna up`',
    absolutePath,
    {
      ...{ table: 'cgroup', name: 'parent' },
      about:
        'The cgroup below which the bridge makes its own, in v2 and in each v1 hierarchy that it uses. It must be there at the start, and in v2 it must hand the controllers memory and pids down.',
    },
  ),
  perUser: count(32, 1, 128, {
    ...{ table: 'limits', name: 'per_user' },
    about:
      'Connections of one uid at once, each with at most one run. Further ones are refused as `busy`. All users together have 128.',
  }),
  prepared: count(16, 0, 16, {
    ...{ table: 'limits', name: 'prepared' },
    about:
      'Sandboxes that are built at once before the record of their run is durable. With 0 none is: starts take longer, and a request that is not recorded costs nothing.',
  }),
  recordWithinMs: duration(30_000, 1000, 30_000, {
    ...{ table: 'limits', name: 'record_within' },
    about:
      'How long a permitted run may wait for its record. When that takes longer the executor ends, and nothing starts.',
  }),
  statusClients: count(32, 1, 1024, {
    ...{ table: 'limits', name: 'status_clients' },
    about: 'Connections to bridge.sock at once; a further one takes the place of the oldest.',
  }),
  outcomeDelayMs: duration(5, 1, 1000, {
    ...{ table: 'log', name: 'outcome_delay' },
    about:
      'How long the entry of an outcome may wait for a record that it can share a sync with. A crash in between leaves the run `unknown`. Nobody waits for it.',
  }),
  signEveryMs: duration(200, 10, 60_000, {
    ...{ table: 'log', name: 'sign_every' },
    about: 'How often the executor signs a checkpoint while there is something new.',
  }),
  spaceAheadBytes: size(1024 ** 2, 1024 ** 2, 256 * 1024 ** 2, {
    ...{ table: 'log', name: 'space_ahead' },
    about:
      'How much space is prepared at a time, in the log and in the receipts. Half of it, and at least 512K, is kept for the ends of runs when the disk is full.',
  }),
  policySource: text('an absolute path', '`etc/belladonna/policy.d` below the root', absolutePath, {
    ...{ table: 'policy', name: 'source' },
    about:
      'What `belladonna policy check` and `belladonna policy install` read when no file or directory is named. It is not below `--root`.',
  }),
}

function showDuration(ms: number): string {
  return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`
}

function showSize(bytes: number): string {
  for (const [unit, letter] of [
    [1024 ** 3, 'G'],
    [1024 ** 2, 'M'],
    [1024, 'K'],
  ] as const) {
    if (bytes % unit === 0) return `${bytes / unit}${letter}`
  }
  return `${bytes}`
}
