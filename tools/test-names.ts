/** A reporter for Node's runner: what became of each test, one a line, as tools/skipped.ts reads it. */
import type { TestEvent } from 'node:test/reporters'
import { formatTestLine } from './skipped.ts'

async function* testNames(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue
    const why = reasonIn(data.skip)
    // A suite passes where each of its tests was skipped; of one that is itself, no test is reported.
    if (data.details.type === 'suite' && why === null) continue
    // What is still to do may fail, and the runner calls it passed.
    const isToDo = reasonIn(data.todo) !== null
    yield formatTestLine({ name: data.name, skipped: isToDo ? 'to do' : why })
  }
}

function reasonIn(option: boolean | string | undefined): string | null {
  if (option === undefined || option === false) return null
  return option === true ? '' : option
}

// The runner takes a reporter by this name alone.
export { testNames as default }
