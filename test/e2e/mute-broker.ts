/** A broker that says that it is ready and then nothing, so that the executor has the launcher to itself. */
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { openChannel } from '../../src/host/channel.ts'
import { inherited } from '../../src/host/inherited.ts'

const events = { batchEnd: () => undefined, closed: () => process.exit(0) }
const launcher = openChannel(inherited.launcher, {
  ...events,
  frame: ({ kind }) => {
    if (kind === wireKind.hello) launcher.send(formatFrame(wireKind.brokerReady))
  },
})
openChannel(inherited.peer, { ...events, frame: () => undefined })
process.on('SIGTERM', () => process.exit(0))
