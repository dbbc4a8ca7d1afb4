/**
 * Judges the coverage that Node's runner wrote as lcov. Its own thresholds cannot: they know one limit for all files, and
 * a file that no test loaded is not in the report at all, so that an empty report passes with 100 %.
 */

type Kind = 'lines' | 'functions' | 'branches'

/** How much there is of one kind, how much of it ran, and in which lines it did not. */
type Count = Readonly<{ found: number; hit: number; missedLines: readonly number[] }>
export type FileCoverage = Readonly<Record<Kind, Count>>

/** Percent, of lines, functions and branches alike. */
const overallFloor = 90
/** `src/core` decides. What no test has run there, nobody has seen. */
const core = 'src/core/'

/**
 * @param lcov as `--test-reporter=lcov` writes it, with paths relative to the root
 * @see geninfo(1), "FILES"
 */
export function parseLcov(lcov: string): ReadonlyMap<string, FileCoverage> {
  return new Map(
    lcov
      .split('end_of_record')
      .filter((record) => record.includes('SF:'))
      .map((record) => [/^SF:(.+)$/m.exec(record)?.[1] ?? '', parseRecord(record)]),
  )
}

function parseRecord(record: string): FileCoverage {
  const functionLines = new Map<string, number>()
  for (const [, line, name = ''] of record.matchAll(/^FN:(\d+),(.*)$/gm)) {
    functionLines.set(name, Number(line))
  }
  const functions = [...record.matchAll(/^FNDA:(\d+),(.*)$/gm)]
  return {
    lines: count([...record.matchAll(/^DA:(\d+),(\d+)/gm)].map(([, line, hits]) => [line, hits])),
    functions: count(functions.map(([, hits, name = '']) => [functionLines.get(name), hits])),
    branches: count(
      [...record.matchAll(/^BRDA:(\d+),\d+,\d+,(\d+|-)/gm)].map(([, line, hits]) => [line, hits]),
    ),
  }
}

function count(items: readonly (readonly [unknown, unknown])[]): Count {
  const missed = items.filter(([, hits]) => !(Number(hits) > 0))
  return {
    found: items.length,
    hit: items.length - missed.length,
    missedLines: missed.map(([line]) => Number(line)),
  }
}

/**
 * @param sources every file that the report must list
 * @param gate `core` after unit tests alone, which cannot reach what needs processes; `all` after every test
 */
export function checkCoverage(
  coverage: ReadonlyMap<string, FileCoverage>,
  sources: readonly string[],
  gate: 'core' | 'all',
): readonly string[] {
  const judged = sources.filter((path) => gate === 'all' || path.startsWith(core))
  const absent = judged.filter((path) => !coverage.has(path))
  return [
    ...absent.map((path) => `${path}: no test loaded it`),
    ...judged
      .filter((path) => path.startsWith(core))
      .flatMap((path) => missedIn(path, coverage.get(path))),
    ...(gate === 'all' ? belowFloor(judged, coverage) : []),
  ]
}

const kinds: readonly Kind[] = ['lines', 'functions', 'branches']

function missedIn(path: string, file: FileCoverage | undefined): readonly string[] {
  return kinds.flatMap((kind) => {
    const missed = file?.[kind].missedLines ?? []
    return missed.length === 0 ? [] : [`${path}: ${kind} that no test ran: ${ranges(missed)}`]
  })
}

function belowFloor(paths: readonly string[], coverage: ReadonlyMap<string, FileCoverage>) {
  return kinds.flatMap((kind) => {
    const counts = paths.map((path) => coverage.get(path)?.[kind])
    const found = counts.reduce((sum, one) => sum + (one?.found ?? 0), 0)
    const hit = counts.reduce((sum, one) => sum + (one?.hit ?? 0), 0)
    const percent = found === 0 ? 0 : (100 * hit) / found
    const text = `${kind} of src: ${percent.toFixed(2)} %, at least ${overallFloor} %`
    return percent < overallFloor ? [text] : []
  })
}

/** 3, 4, 5, 9 → "3-5, 9" */
function ranges(lines: readonly number[]): string {
  const ordered = [...new Set(lines)].toSorted((left, right) => left - right)
  const starts = ordered.filter((line) => !ordered.includes(line - 1))
  return starts
    .map((start) => {
      const end = ordered.find((line) => line >= start && !ordered.includes(line + 1)) ?? start
      return end === start ? String(start) : `${start}-${end}`
    })
    .join(', ')
}
