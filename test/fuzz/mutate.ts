/** Mutations of text, by random numbers that can be drawn again. */

/** A whole number from 0 to below `below`. */
export type Draw = (below: number) => number

/** The same seed draws the same numbers (mulberry32). */
export function openDraw(seed: number): Draw {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296) * below)
  }
}

export function pick<T>(draw: Draw, list: readonly T[]): T {
  const chosen = list[draw(list.length)]
  if (chosen === undefined) throw new RangeError('nothing to pick from')
  return chosen
}

const numbers = ['0', '1', '-1', '255', '256', '4294967296', '9007199254740993', '1e3']

/** What is changed, with words of the input's language and parts of other inputs. */
export type Material = Readonly<{ words: readonly string[]; others: readonly string[] }>

/** One to four changes: cut, repeat, move, exchange, insert a word, a number or a part of another input. */
export function mutate(draw: Draw, text: string, material: Material): string {
  let mutant = text
  for (let changes = 1 + draw(4); changes > 0; changes--) mutant = change(draw, mutant, material)
  return mutant
}

function change(draw: Draw, text: string, { words, others }: Material): string {
  const at = draw(text.length + 1)
  const end = Math.min(text.length, at + 1 + draw(draw(4) === 0 ? 64 : 6))
  const part = text.slice(at, end)
  switch (draw(8)) {
    case 0:
      return text.slice(0, at) + text.slice(end)
    case 1:
      return text.slice(0, end) + part + text.slice(end)
    case 2:
      return text.slice(0, at) + pick(draw, words) + text.slice(at)
    case 3:
      return text.slice(0, at) + pick(draw, words) + text.slice(end)
    case 4:
      return exchangeNumber(draw, text)
    case 5:
      return (
        text.slice(0, at) +
        String.fromCharCode(draw(draw(4) === 0 ? 65_536 : 128)) +
        text.slice(end)
      )
    case 6:
      return text.slice(0, at) + partOf(draw, pick(draw, others)) + text.slice(end)
    default:
      return exchangeLines(draw, text)
  }
}

function partOf(draw: Draw, text: string): string {
  const at = draw(text.length + 1)
  return text.slice(at, at + draw(80))
}

/** The texts with one of their numbers one higher or lower, each in turn: beside a bound is where a bound is wrong. */
export function* besideNumbers(texts: readonly string[]): Generator<string, undefined> {
  for (const text of texts) yield* besideNumbersOf(text)
  return undefined
}

function* besideNumbersOf(text: string): Generator<string> {
  for (const { index, 0: old } of text.matchAll(/(?<![0-9a-f.])[0-9]{1,15}(?![0-9a-f.])/g)) {
    for (const near of [Number(old) + 1, Number(old) - 1]) {
      yield text.slice(0, index) + String(near) + text.slice(index + old.length)
    }
  }
}

function exchangeNumber(draw: Draw, text: string): string {
  const found = [...text.matchAll(/\d+/g)]
  if (found.length === 0) return text
  const { index, 0: old } = pick(draw, found)
  return text.slice(0, index) + pick(draw, numbers) + text.slice(index + old.length)
}

function exchangeLines(draw: Draw, text: string): string {
  const lines = text.split('\n')
  const [from, to] = [draw(lines.length), draw(lines.length)]
  const line = lines[from] ?? ''
  return (draw(2) === 0 ? lines.toSpliced(from, 1) : lines).toSpliced(to, 0, line).join('\n')
}
