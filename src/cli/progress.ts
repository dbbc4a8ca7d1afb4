/** Where a bar can be drawn; a terminal has `isTTY`. */
export type Screen = Readonly<{ isTTY?: boolean; write: (text: string) => unknown }>

/** A bar for work that takes more than a second: it comes late, is redrawn seldom, and goes without a trace. */
export type Progress = Disposable & Readonly<{ show: (done: number, total: number) => void }>

const patienceMs = 1000
const redrawMs = 100
const width = 30
const clearLine = '\r\u001b[K'

/** On anything but a terminal nothing is drawn. The bar has no colour, so `NO_COLOR` has nothing to say about it. */
export function showProgress(
  title: string,
  screen: Screen = process.stderr,
  nowMs: () => number = () => performance.now(),
): Progress {
  let nextMs = nowMs() + patienceMs
  let isDrawn = false
  const clear = (): void => {
    if (isDrawn) screen.write(clearLine)
    isDrawn = false
  }
  const draw = (share: number): void => {
    nextMs = nowMs() + redrawMs
    isDrawn = true
    screen.write(`${clearLine}${title} ${barOf(share)}`)
  }
  return {
    show(done, total) {
      if (done >= total)
        clear() // the result is printed on the same line of the terminal
      else if (screen.isTTY === true && nowMs() >= nextMs) draw(done / total)
    },
    [Symbol.dispose]: clear,
  }
}

function barOf(share: number): string {
  const filled = Math.floor(share * width)
  const percent = String(Math.floor(share * 100)).padStart(3)
  return `[${'#'.repeat(filled)}${' '.repeat(width - filled)}] ${percent} %`
}
