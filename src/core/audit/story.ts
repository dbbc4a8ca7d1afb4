import { BelladonnaError } from '../error.ts'
import type { Entry } from './entry.ts'
import { parseEntry } from './entry-parse.ts'

/** One entry with its place and its bytes. */
export type PlacedEntry = Readonly<{ index: number; entry: Entry; bytes: Uint8Array }>

/** All that the log has of one request: its first entry, and for a run the one that closed it. */
export type Story = Readonly<{ first: PlacedEntry; end: PlacedEntry | null }>

/** Which stories are wanted. `digest` is the beginning of an action digest. */
export type StorySelector =
  | Readonly<{ kind: 'index'; index: number }>
  | Readonly<{ kind: 'digest'; prefix: string }>
  | Readonly<{ kind: 'last'; count: number }>

/**
 * Finds stories in a log, oldest first.
 *
 * The log is read once, or twice where the index is that of a run's end; no more stories are held than are returned.
 *
 * @param open starts reading the log from its beginning
 * @throws {BelladonnaError} `log_corrupt` at an entry that cannot be read
 */
export function findStories(
  open: () => Iterable<Uint8Array>,
  selector: StorySelector,
): readonly Story[] {
  const wanted = selector.kind === 'index' ? beginningOf(open, selector.index) : selector
  const stories = new Map<number, Story>()
  for (const placed of placedEntries(open())) {
    const begun = intentOf(placed.entry)
    const story = begun === null ? undefined : stories.get(begun)
    if (begun !== null && story !== undefined) stories.set(begun, { ...story, end: placed })
    if (begun === null && isWanted(placed, wanted)) {
      stories.set(placed.index, { first: placed, end: null })
      const [oldest] = stories.keys()
      const tooMany = wanted.kind === 'last' && stories.size > wanted.count
      if (tooMany && oldest !== undefined) stories.delete(oldest)
    }
  }
  return [...stories.values()]
}

/** The action digest of a story's run, null when it has none. */
export function actionDigestOf({ first: { entry } }: Story): string | null {
  return entry.kind === 'intent' || entry.kind === 'recovered' ? entry.actionDigest : null
}

function isWanted({ index, entry }: PlacedEntry, wanted: StorySelector): boolean {
  switch (wanted.kind) {
    case 'index':
      return index === wanted.index
    case 'last':
      return entry.kind !== 'start' && entry.kind !== 'stop' && entry.kind !== 'policy'
    case 'digest':
      return 'actionDigest' in entry && entry.actionDigest.startsWith(wanted.prefix)
  }
}

function beginningOf(open: () => Iterable<Uint8Array>, index: number): StorySelector {
  for (const placed of placedEntries(open())) {
    if (placed.index === index) return { kind: 'index', index: intentOf(placed.entry) ?? index }
  }
  return { kind: 'index', index }
}

/** Index of the intent that this entry closes, null when it is the first of its story. */
function intentOf(entry: Entry): number | null {
  return entry.kind === 'outcome' || entry.kind === 'recovered' ? entry.intent : null
}

function* placedEntries(records: Iterable<Uint8Array>): Generator<PlacedEntry> {
  let index = 0
  for (const record of records) {
    try {
      yield { index, entry: parseEntry(record), bytes: record.slice() }
    } catch (cause) {
      throw new BelladonnaError('log_corrupt', `read entry ${String(index)}`, { cause })
    }
    index += 1
  }
}
