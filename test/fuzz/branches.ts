/** Which branches of our sources run, by V8's block coverage of this process. */
import { Session } from 'node:inspector'
import type { Profiler } from 'node:inspector'

/** What has been seen so far. */
export type BranchCoverage = Disposable &
  Readonly<{
    /** How many outcomes of branches ran since the last call that had never run before. */
    takeNew: () => number
    count: () => number
  }>

/**
 * Counts in files whose URL begins with `prefix`.
 *
 * V8 tells each block apart that ran more or less often than what is around it. Taken and passed by are two outcomes.
 */
export function watchBranches(prefix: string): BranchCoverage {
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  const seen = new Set<string>()
  const takeNew = (): number => {
    const before = seen.size
    for (const script of takeCoverage(session)) {
      if (script.url.startsWith(prefix)) addOutcomes(seen, script)
    }
    return seen.size - before
  }
  return {
    takeNew,
    count: () => seen.size,
    [Symbol.dispose]() {
      session.disconnect()
    },
  }
}

/** In the process itself the answer is there when `post` returns. */
function takeCoverage(session: Session): readonly Profiler.ScriptCoverage[] {
  let scripts: readonly Profiler.ScriptCoverage[] = []
  session.post('Profiler.takePreciseCoverage', (error, answer) => {
    if (error !== null) throw error
    scripts = answer.result
  })
  return scripts
}

function addOutcomes(seen: Set<string>, { scriptId, functions }: Profiler.ScriptCoverage): void {
  for (const { ranges } of functions) {
    if (ranges[0] === undefined || ranges[0].count === 0) continue
    for (const { startOffset, endOffset, count } of ranges) {
      seen.add(`${scriptId} ${startOffset} ${endOffset} ${count === 0 ? 0 : 1}`)
    }
  }
}
