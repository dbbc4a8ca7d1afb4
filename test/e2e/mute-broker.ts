/**
 * A broker that says that it is ready and then nothing, so that the executor has the launcher to itself: but where a test puts a
 * file `refuse` into its log, it refuses what was asked for last.
 */
import { existsSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { formatProblem } from '../../src/core/problem.ts'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { formatRefuse, parseSubmission } from '../../src/core/protocol/launcher-frames.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { openChannel } from '../../src/host/channel.ts'
import { inherited } from '../../src/host/inherited.ts'

const events = { batchEnd: () => undefined, closed: () => process.exit(0) }
const order = join(process.argv[2] ?? '', 'refuse')
let last = 0
const launcher = openChannel(inherited.launcher, {
  ...events,
  frame: ({ kind, body }) => {
    if (kind === wireKind.hello) launcher.send(formatFrame(wireKind.brokerReady))
    if (kind === wireKind.submit) last = parseSubmission(body.slice()).run
  },
})
openChannel(inherited.peer, { ...events, frame: () => undefined })
setInterval(() => {
  if (!existsSync(order)) return
  rmSync(order)
  launcher.send(formatRefuse(last, 125, formatProblem('not_granted', {})))
}, 50)
process.on('SIGTERM', () => process.exit(0))
