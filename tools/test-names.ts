/** A reporter for Node's runner: the name of each test that ran or was skipped, one a line. */
import type { TestEvent } from 'node:test/reporters'

async function* testNames(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type === 'test:pass' || type === 'test:fail') yield `${data.name.replaceAll('\n', ' ')}\n`
  }
}

// The runner takes a reporter by this name alone.
export { testNames as default }
