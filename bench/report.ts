import type { Comparison, Results } from './plan.ts'

/** What the figures were measured on; without it they mean nothing. */
export type Machine = Readonly<{
  date: string
  kernel: string
  processor: string
  cores: number
  versions: Readonly<Record<string, string>>
}>

/** The whole run for a terminal: figures by command, then ratios with their spread and whether the goal is reached. */
export function formatTable(machine: Machine, results: Results): string {
  const figures = results.figures.map(({ what, command, value, unit }) => [
    what,
    command,
    `${value.toFixed(unit.endsWith('/s') ? 0 : 3)} ${unit}`,
  ])
  const comparisons = results.comparisons.map((row) => [
    row.what,
    `ours : ${row.peer}`,
    formatRatio(row.ratio.value),
    row.ratio.spread === null ? '' : row.ratio.spread.map(formatRatio).join(' to '),
    formatGoal(row),
  ])
  return [
    describeMachine(machine),
    '',
    ...columns([['what', 'command', 'value'], ...figures]),
    '',
    ...columns([['what', 'ratio', 'median', 'quartiles', 'first goal'], ...comparisons]),
    '',
  ].join('\n')
}

/**
 * Markdown between the marks of README.md and performance.md: ratios only, with what they were measured on. As Prettier
 * would have it, whose check comes next.
 */
export function formatBlock(machine: Machine, results: Results): string {
  const rows = results.comparisons.map(({ what, peer, ratio }) => [
    what,
    `\`${peer}\``,
    formatRatio(ratio.value),
  ])
  const table = padded([['ours,', 'by', 'ratio'], ['-', '-', '-'], ...rows])
  return ['', describeMachine(machine), '', ...table.map((line) => `| ${line} |`), ''].join('\n')
}

const begin = '<!-- bench:begin -->'
const end = '<!-- bench:end -->'

/** Puts `block` between the marks of `text`. Throws if the marks are not there exactly once, in order. */
export function replaceBlock(text: string, block: string): string {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  const single = text.lastIndexOf(begin) === from && text.lastIndexOf(end) === to
  if (from < 0 || to < from || !single)
    throw new Error(`the marks ${begin} and ${end} are not there`)
  return `${text.slice(0, from + begin.length)}\n${block}\n${text.slice(to)}`
}

/** Whether each row that has a goal reaches it. */
export function unreachedGoals(results: Results): readonly Comparison[] {
  return results.comparisons.filter((row) => !isReached(row))
}

function isReached({ ratio, goal }: Comparison): boolean {
  if (goal === null) return true
  return goal.best === 'low' ? ratio.value <= goal.limit : ratio.value >= goal.limit
}

function formatGoal(row: Comparison): string {
  if (row.goal === null) return ''
  const limit = `${row.goal.best === 'low' ? 'at most' : 'at least'} ${row.goal.limit}`
  return `${limit}: ${isReached(row) ? 'reached' : 'missed'}`
}

function formatRatio(value: number): string {
  return value < 0.1 ? String(Number(value.toPrecision(2))) : value.toFixed(2)
}

function describeMachine({ date, kernel, processor, cores, versions }: Machine): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`)
  return `Measured on ${date} with Linux ${kernel} on ${cores} cores (${processor}): ${programs.join(', ')}.`
}

function columns(rows: readonly (readonly string[])[]): readonly string[] {
  return padded(rows).map((line) => line.trimEnd())
}

/** A dash alone stands for a line as wide as its column, which Markdown wants three wide at least. */
function padded(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(3, ...rows.map((row) => row[at]?.length ?? 0)),
  )
  return rows.map((row) =>
    row
      .map((cell, at) =>
        cell === '-' ? cell.repeat(widths[at] ?? 1) : cell.padEnd(widths[at] ?? 0),
      )
      .join(' | '),
  )
}
