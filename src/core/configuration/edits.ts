/** A part of a text, by offsets, and what takes its place. */
export type TextEdit = Readonly<{ start: number; end: number; text: string }>

/** The text with all edits made. They are in order and do not overlap. */
export function applyEdits(text: string, edits: readonly TextEdit[]): string {
  let at = 0
  let made = ''
  for (const edit of edits) {
    made += text.slice(at, edit.start) + edit.text
    at = edit.end
  }
  return made + text.slice(at)
}

/** Lines `from` to before `to` of the old text, counted from 0, and what stands there instead. */
type LineChange = Readonly<{ from: number; to: number; lines: readonly string[] }>

/** Changes that are shown together; `from` and `to` are those of the first and the last. */
type Hunk = { readonly from: number; to: number; readonly changes: LineChange[] }

const contextLines = 3

/** A unified difference that patch(1) takes; empty without edits. */
export function formatDifference(
  names: Readonly<{ old: string; new: string }>,
  text: string,
  edits: readonly TextEdit[],
): string {
  const old = linesOf(text)
  const changes = lineChanges(text, old, edits)
  if (changes.length === 0) return ''
  let shift = 0
  const hunks = groupHunks(changes).map((hunk) => {
    const shown = formatHunk(old, hunk, shift)
    shift += growthOf(hunk)
    return shown
  })
  return `--- ${names.old}\n+++ ${names.new}\n${hunks.join('')}`
}

function growthOf({ changes }: Hunk): number {
  return changes.reduce((sum, { from, to, lines }) => sum + lines.length - (to - from), 0)
}

/** With their ends, so that a last line without one can be told. */
function linesOf(text: string): readonly string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? []
}

function lineChanges(
  text: string,
  old: readonly string[],
  edits: readonly TextEdit[],
): readonly LineChange[] {
  let end = 0
  const starts = [0, ...old.map((line) => (end += line.length))]
  const lineOf = (offset: number): number => starts.findLastIndex((start) => start <= offset)
  const changes: { from: number; to: number; edits: TextEdit[] }[] = []
  for (const edit of edits) {
    const from = Math.min(lineOf(edit.start), old.length)
    // What ends where a line begins does not touch that line, unless it begins within the one before it.
    const isWhole =
      starts[from] === edit.start && starts[lineOf(edit.end)] === edit.end && isLines(edit.text)
    const to = isWhole ? lineOf(edit.end) : Math.min(lineOf(edit.end) + 1, old.length)
    const last = changes.at(-1)
    if (last !== undefined && from < last.to) {
      last.to = Math.max(last.to, to)
      last.edits.push(edit)
    } else changes.push({ from, to, edits: [edit] })
  }
  return changes.map(({ from, to, edits: inside }) => {
    const begin = Number(starts[from])
    const part = text.slice(begin, starts[to])
    const moved = inside.map((edit) => ({
      ...edit,
      start: edit.start - begin,
      end: edit.end - begin,
    }))
    return { from, to, lines: linesOf(applyEdits(part, moved)) }
  })
}

function isLines(text: string): boolean {
  return text === '' || text.endsWith('\n')
}

/** Changes whose context would meet share a hunk. */
function groupHunks(changes: readonly LineChange[]): readonly Hunk[] {
  const hunks: Hunk[] = []
  for (const change of changes) {
    const hunk = hunks.at(-1)
    if (hunk !== undefined && change.from - hunk.to <= 2 * contextLines) {
      hunk.changes.push(change)
      hunk.to = change.to
    } else hunks.push({ from: change.from, to: change.to, changes: [change] })
  }
  return hunks
}

function formatHunk(old: readonly string[], hunk: Hunk, shift: number): string {
  const from = Math.max(0, hunk.from - contextLines)
  const to = Math.min(old.length, hunk.to + contextLines)
  const shown: string[] = []
  let at = from
  for (const change of hunk.changes) {
    shown.push(...old.slice(at, change.from).map((line) => mark(' ', line)))
    shown.push(...old.slice(change.from, change.to).map((line) => mark('-', line)))
    shown.push(...change.lines.map((line) => mark('+', line)))
    at = change.to
  }
  shown.push(...old.slice(at, to).map((line) => mark(' ', line)))
  const range = (start: number, count: number): string =>
    `${count === 0 ? start : start + 1},${count}`
  const counts = [range(from, to - from), range(from + shift, to - from + growthOf(hunk))]
  return `@@ -${counts.join(' +')} @@\n${shown.join('')}`
}

function mark(sign: string, line: string): string {
  return line.endsWith('\n') ? sign + line : `${sign}${line}\n\\ No newline at end of file\n`
}
