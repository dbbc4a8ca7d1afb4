/** Runs with a terminal of their own: what they see of it, and what the caller at the other one does. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { formatRequest } from '../../src/core/protocol/request.ts'
import { until } from '../support/bridge.ts'
import { capped } from '../support/relay-bridge.ts'
import { startTerminalBridge } from '../support/terminal-bridge.ts'
import type { TerminalBridge } from '../support/terminal-bridge.ts'
import { cookedModes, rawModes } from '../support/terminal.ts'

const skip = process.geteuid?.() !== 0
let at: TerminalBridge
before(async () => {
  if (!skip) at = await startTerminalBridge()
})
after(async () => {
  if (!skip) await at[Symbol.asyncDispose]()
})

/** An interactive shell of the caller's. */
const callersShell = ['/usr/bin/bash', '--norc', '--noprofile', '-i']

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test(
  'terminal: a run has one of its own, of the size of the caller’s, and sees no other',
  { skip },
  async () => {
    using terminal = at.open(at.bell('look'), { rows: 33, columns: 101 })
    await terminal.end
    const lines = terminal.shown().toString().split('\r\n')
    assert.deepEqual(lines.slice(0, 3), ['/dev/pts/0', '33 101', 'pts: /dev/pts/0 /dev/pts/ptmx'])
    assert.match(lines[3] ?? '', /ptmx: Permission denied/)
  },
)

test('terminal: a short list of system calls is enough for it', { skip }, async () => {
  using terminal = at.open(at.bell('look.few'))
  assert.equal(await terminal.end, 0)
  assert.equal(terminal.shown().toString(), '/dev/pts/0\r\n')
})

test('terminal: a profile without stdin has none of it on 0', { skip }, async () => {
  using terminal = at.open(at.bell('look.closed'))
  await terminal.end
  assert.equal(terminal.shown().toString(), 'not a tty\r\n/dev/pts/0\r\n')
})

test('terminal: each change of size reaches the run, also many at once', { skip }, async () => {
  using terminal = at.open(at.bell('watch'))
  await terminal.expect(/here/)
  terminal.order('size 40 90')
  await terminal.expect(/now 40 90\r\n/)
  for (let rows = 1; rows <= 100; rows++) terminal.order(`size ${rows} 7`)
  await terminal.expect(/now 100 7\r\n/)
  terminal.type('\x03')
  assert.equal(await terminal.end, 130)
})

test('terminal: Ctrl-C ends the run’s command, Ctrl-D its input', { skip }, async () => {
  using asleep = at.open(at.bell('sleep'))
  await asleep.expect(/here/)
  asleep.type('\x03')
  assert.equal(await asleep.end, 130)
  assert.match(asleep.shown().toString(), /here\r\n\^C/)
  using copying = at.open(at.bell('copy'))
  await until(async () => (await copying.modes()) === rawModes, 5000)
  copying.type('a line\r')
  await copying.expect(/a line\r\na line\r\n/) // its echo, by the run's terminal alone, and the copy
  copying.type('\x04')
  assert.equal(await copying.end, 0)
})

test('terminal: Ctrl-C also where 0 is none, by the terminal or by bell', { skip }, async () => {
  using closed = at.open(at.bell('sleep.closed'))
  await closed.expect(/here/)
  await until(async () => (await closed.modes()) === rawModes, 5000)
  closed.type('\x03')
  assert.equal(await closed.end, 130)
  using piped = at.open(['/usr/bin/bash', '-c', `true | ${at.bell('sleep').join(' ')}`])
  await piped.expect(/here/)
  assert.equal(await piped.modes(), cookedModes)
  piped.type('\x03')
  assert.equal(await piped.end, 130)
})

test('terminal: a mebibyte that is pasted arrives whole', { skip }, async () => {
  using terminal = at.open(at.bell('count'))
  await until(async () => (await terminal.modes()) === rawModes, 5000)
  terminal.type(`${'x'.repeat(1023)}\r`.repeat(1024))
  terminal.type('\x04')
  await terminal.expect(/\n1048576\r\n$/)
  assert.equal(await terminal.end, 0)
})

test(
  'terminal: Ctrl-Z stops bell with its command, fg goes on, as with sudo',
  { skip },
  async () => {
    using terminal = at.open(callersShell)
    terminal.type(`${at.bell('copy').join(' ')}\r`)
    await until(async () => (await terminal.modes()) === rawModes, 5000)
    terminal.type('one\r')
    await terminal.expect(/one\r\none\r\n/)
    terminal.type('\x1a')
    await terminal.expect(/Stopped.*ready> /s)
    terminal.type('stty -a | tr ";" "\\n" | grep -o " icanon"\r')
    await terminal.expect(/\n icanon\r\n/)
    terminal.type('fg\r')
    await terminal.expect(/copy\r\n/)
    await until(async () => (await terminal.modes()) === rawModes, 5000)
    terminal.type('two\r')
    await terminal.expect(/two\r\ntwo\r\n/)
    terminal.type('\x04')
    await terminal.expect(/ready> /)
    terminal.type('exit 7\r')
    assert.equal(await terminal.end, 7)
  },
)

test(
  'terminal: a bell in the background takes nothing of what is typed, until fg',
  { skip },
  async () => {
    using terminal = at.open(callersShell)
    terminal.type(`${at.bell('copy').join(' ')} &\r`)
    await terminal.expect(/\[1\] \d+.*ready> /s)
    terminal.type('echo $((40 + 2))\r')
    await terminal.expect(/\r\n42\r\n/)
    terminal.type('fg\r')
    await terminal.expect(/copy\r\n/)
    await until(async () => (await terminal.modes()) === rawModes, 5000)
    terminal.type('for the run\r')
    await terminal.expect(/for the run\r\nfor the run\r\n/)
    terminal.type('\x04')
    await terminal.expect(/ready> /)
    terminal.type('exit\r')
    assert.equal(await terminal.end, 0)
  },
)

test('terminal: SIGTSTP to bell from elsewhere gives the terminal back too', { skip }, async () => {
  using terminal = at.open(['/usr/bin/dash', '-i']) // which sets no modes itself
  await terminal.expect(/ready> /)
  terminal.type(`${at.bell('copy').join(' ')}\r`)
  await until(async () => (await terminal.modes()) === rawModes, 5000)
  process.kill(at.bells()[0] ?? 0, 'SIGTSTP')
  await terminal.expect(/Stopped.*ready> /s)
  assert.equal(await terminal.modes(), cookedModes)
  terminal.type('fg\r')
  await until(async () => (await terminal.modes()) === rawModes, 5000)
  terminal.type('still here\r')
  await terminal.expect(/still here\r\nstill here\r\n/)
  terminal.type('\x04')
  await terminal.expect(/ready> /)
  terminal.type('exit\r')
  assert.equal(await terminal.end, 0)
})

test(
  'terminal: a bell in another session takes no keys, for the kernel would let it',
  { skip },
  async () => {
    using terminal = at.open(['/usr/bin/setsid', '-w', ...at.bell('sleep')])
    await terminal.expect(/here/)
    await new Promise((resolve) => setTimeout(resolve, 500))
    assert.equal(await terminal.modes(), cookedModes)
    process.kill(at.bells()[0] ?? 0, 'SIGTERM')
    assert.equal(await terminal.end, 143)
  },
)

test('terminal: an interactive shell in a run has job control of its own', { skip }, async () => {
  using terminal = at.open(at.bell('shell'))
  await terminal.expect(/bash-[0-9.]+# /)
  terminal.type('sleep 60\r')
  await until(() => terminal.shown().includes('sleep 60\r\n'), 5000)
  await new Promise((resolve) => setTimeout(resolve, 300)) // until it is in the foreground
  terminal.type('\x1a')
  await terminal.expect(/\[1\]\+  Stopped +sleep 60\r\n.*bash-/s)
  terminal.type('fg\r')
  await terminal.expect(/fg\r\nsleep 60\r\n/)
  await new Promise((resolve) => setTimeout(resolve, 300))
  terminal.type('\x03')
  await terminal.expect(/\^C\r\n.*# /s)
  terminal.type('exit 3\r')
  assert.equal(await terminal.end, 3)
  assert.doesNotMatch(terminal.shown().toString(), /no job control|cannot set terminal/)
})

test('terminal: a program of the whole screen', { skip }, async () => {
  using terminal = at.open(at.bell('top'))
  await terminal.expect(/Tasks:/)
  terminal.type('q')
  assert.equal(await terminal.end, 0)
})

test(
  'C22: what a run types into its terminal is refused, and none of it comes to the caller',
  { skip },
  async () => {
    for (const name of ['type', 'type.passed']) {
      using terminal = at.open([
        '/usr/bin/dash',
        '-c',
        `${at.bell(name).join(' ')}; echo over; cat`,
      ])
      await terminal.expect(/over\r\n/)
      const lines = terminal.shown().toString().split('\r\n')
      const places = name === 'type' ? ['stdin', 'stdout', 'tty'] : ['stdin', 'stdout']
      const refused = places.flatMap((place) =>
        [0, 1, 2, 3].map((call) => `${place} ${call} Operation not permitted`),
      )
      assert.deepEqual(lines.slice(0, refused.length), refused)
      if (name === 'type.passed') assert.equal(lines[8], 'tty none No such file or directory')
      terminal.type('\x04')
      assert.equal(await terminal.end, 0)
      assert.ok(terminal.shown().toString().endsWith('over\r\n'), 'nothing was waiting to be read')
    }
  },
)

test('terminal: ten MiB, and their digest is of what the caller saw', { skip }, async () => {
  let shown: Buffer = Buffer.alloc(0)
  const outcome = await at.bridge.outcomeOf(async () => {
    // Raw, so that its own terminal changes nothing on the way to us.
    const line = `stty raw; ${at.bell('many').join(' ')}; stty sane`
    using terminal = at.open(['/usr/bin/dash', '-c', line])
    assert.equal(await terminal.end, 0)
    shown = terminal.shown()
  })
  const { terminal, stdout, stderr, truncated, undelivered } = capped(outcome)
  assert.ok(shown.length >= 10 * 1024 ** 2)
  assert.deepEqual(terminal, {
    written: shown.length,
    delivered: shown.length,
    sha256: digestOf(shown),
  })
  assert.deepEqual([stdout.written, stderr.written, truncated, undelivered], [0, 0, false, false])
})

test(
  'terminal: the cap holds for it too, and bell says so once it has given it back',
  { skip },
  async () => {
    let shown = ''
    const outcome = await at.bridge.outcomeOf(async () => {
      using terminal = at.open(at.bell('many.small'))
      assert.equal(await terminal.end, 0)
      shown = terminal.shown().toString()
    })
    const { terminal, truncated } = capped(outcome)
    assert.deepEqual([terminal?.written, terminal?.delivered, truncated], [3000, 1000, true])
    assert.equal(terminal?.sha256, digestOf(new Uint8Array(1000)))
    const said =
      "bell: the output was cut off at the action's limit: 1000 of 3000 bytes were passed on\r\n"
    assert.equal(shown, '\0'.repeat(1000) + said)
  },
)

test(
  'terminal: a pipeline has pipes for what is none, and does not take the keys of another',
  { skip },
  async () => {
    const line = `${at.bell('three').join(' ')} 2>/dev/null | cat; ${at.bell('log').join(' ')} | (read key </dev/tty; echo "key $key"; cat)`
    using terminal = at.open(['/usr/bin/dash', '-c', line])
    await terminal.expect(/tty\r?\r\n/)
    await until(() => terminal.shown().includes('out\r\n'), 5000)
    assert.equal(await terminal.modes(), cookedModes)
    terminal.type('k\r')
    await terminal.expect(/key k\r\n1\r\n2\r\n3\r\n4\r\n5\r\n/)
    assert.equal(await terminal.end, 0)
    assert.doesNotMatch(terminal.shown().toString(), /err/)
  },
)

test('terminal: a command of a pipeline that asks for the keys gets them', { skip }, async () => {
  const words = at.bell('ask').join(' ')
  using terminal = at.open([
    '/usr/bin/dash',
    '-c',
    `echo piped | ${words}; echo between; ${at.bell('copy').join(' ')} | wc -l`,
  ])
  await terminal.expect(/piped/)
  await until(async () => (await terminal.modes()) === rawModes, 5000)
  terminal.type('yes\r')
  await terminal.expect(/said yes/)
  await terminal.expect(/between/) // so the first has given the terminal back
  await until(async () => (await terminal.modes()) === rawModes, 5000)
  terminal.type('one\rtwo\r\x04')
  await terminal.expect(/2\r\n/)
  assert.equal(await terminal.end, 0)
})

test('terminal: what a command says last is never lost', { skip }, async () => {
  const words = at.bell('log').join(' ')
  const line = `i=0; while [ $i -lt 60 ]; do ${words}; i=$((i + 1)); done`
  using terminal = at.open(['/usr/bin/dash', '-c', line])
  assert.equal(await terminal.end, 0)
  assert.equal(terminal.shown().toString(), '1\r\n2\r\n3\r\n4\r\n5\r\n'.repeat(60))
})

for (const [action, stops, title] of [
  ['copy', 0, 'who does nothing but change its size, and types with descriptors,'],
  ['flap', 1, 'a run that stops three thousand times'],
] as const) {
  test(`promise 7: ${title} holds up nobody`, { skip }, async () => {
    const frame = join(at.directory, `request.${action}`)
    const request = formatRequest({ action, reason: '', nonce: null, parameters: [] })
    writeFileSync(frame, formatFrame(wireKind.request, request), { mode: 0o644 })
    const program = join(at.directory, 'terminal-client')
    using strange = at.open([program, at.bridge.socket, frame, '3'])
    await new Promise((resolve) => setTimeout(resolve, 500))
    const before = Date.now()
    using other = at.open(at.bell('log'))
    assert.equal(await other.end, 0)
    assert.ok(Date.now() - before < 2000, `${Date.now() - before} ms`)
    await strange.expect(new RegExp(`many, stops ${stops}, answer 182\r\n`))
    assert.equal(await strange.end, 0)
  })
}
