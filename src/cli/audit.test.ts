import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TestContext } from 'node:test'
import { makeSmallLog, makeTestLog, testAction } from '../../test/log-fixture.ts'
import type { TestLog } from '../../test/log-fixture.ts'
import { formatCanonicalJson } from '../core/json/canonical.ts'
import { formatVerifierKey } from '../core/audit/signed-note.ts'
import { BelladonnaError } from '../core/error.ts'
import { sha256Hex } from '../core/json/digest.ts'
import { openAppendFile } from '../host/append-file.ts'
import { auditShow, auditVerify, parseSelector } from './audit.ts'

function writeLog(t: TestContext, log: TestLog, signed?: number): string {
  const directory = mkdtempSync(join(tmpdir(), 'audit-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  for (const name of ['log', 'receipts', 'state']) mkdirSync(join(directory, name), { mode: 0o700 })
  for (const [path, purpose, records] of [
    ['log/entries.wal', 'log', log.entries],
    ['receipts/receipts.wal', 'receipts', log.receipts],
  ] as const) {
    using file = openAppendFile(join(directory, path), { purpose, stepBytes: 4096 })
    file.append(records)
  }
  writeFileSync(join(directory, 'log/checkpoint'), log.checkpoint(signed))
  writeFileSync(join(directory, 'state/host.pub'), `${formatVerifierKey(log.key)}\n`)
  return directory
}

function show(
  directory: string,
  wanted: string | { last: number },
  json = false,
): { status: number; lines: readonly string[] } {
  const lines: string[] = []
  const status = auditShow({ directory, json }, wanted, (line) => lines.push(line))
  for (const line of lines) assert.doesNotMatch(line, /[\p{Cc}\p{Cf}]/u)
  return { status, lines }
}

async function verify(
  directory: string,
  json = false,
  key?: string,
): Promise<{ status: number; lines: readonly string[] }> {
  const lines: string[] = []
  const options = key === undefined ? { directory, json } : { directory, json, key }
  const status = await auditVerify(options, (line) => lines.push(line))
  for (const line of lines) assert.doesNotMatch(line, /[\p{Cc}\p{Cf}]/u)
  return { status, lines }
}

test('audit verify: the words for a log that is in order', async (t) => {
  const log = makeSmallLog()
  const directory = writeLog(t, log, 3)
  const key = formatVerifierKey(log.key)
  assert.deepEqual(await verify(directory), {
    status: 0,
    lines: [
      'entries   5, of them 3 signed',
      'receipts  2, of them 2 signed',
      'running   1',
      `key       ${key} (from the same directory: compare it with one from elsewhere)`,
      'verified',
    ],
  })
  assert.match((await verify(directory, false, key)).lines[3] ?? '', /\(as given\)$/)
})

test('audit verify: the words for one that is not, and the JSON of both', async (t) => {
  const log = makeSmallLog()
  log.receipt(9)
  const bad = writeLog(t, log)
  const { status, lines } = await verify(bad)
  assert.deepEqual(
    [status, ...lines.slice(-2)],
    [1, 'problem   receipt 3 has no entry (receipt_unrecorded)', 'FAILED: 1 problem'],
  )
  const json = await verify(bad, true)
  const report: unknown = JSON.parse(json.lines.join(''))
  assert.deepEqual(report, {
    ok: false,
    key: formatVerifierKey(log.key),
    entries: 5,
    signed_size: 5,
    unsigned_tail: 0,
    receipts: 3,
    signed_receipts: 3,
    unentered_receipts: 0,
    receipts_ahead: 0,
    recordings: 0,
    recordings_missing: 0,
    tail_damage: null,
    pending: 1,
    problem_count: 1,
    problems: [{ code: 'receipt_unrecorded', index: null, message: 'receipt 3 has no entry' }],
  })
  log.entries.push(new TextEncoder().encode('{"\u001b":1}'), Uint8Array.of(1))
  const worse = await verify(writeLog(t, log))
  assert.deepEqual(
    [worse.status, worse.lines.at(-1), /^problem {3}entry 5: /.test(worse.lines[5] ?? '')],
    [1, 'FAILED: 3 problems', false],
  )
})

test('audit: nothing there is status 75', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'audit-'))
  t.after(() => {
    rmSync(directory, { recursive: true })
  })
  const message = `no log below "${directory}"`
  assert.deepEqual(await verify(directory), { status: 75, lines: [message] })
  assert.deepEqual(show(directory, '0'), { status: 75, lines: [message] })
  const { lines } = await verify(directory, true)
  assert.deepEqual(JSON.parse(lines.join('')), { ok: false, error: message })
})

test('audit show: the story of a run, by index, by digest and as the last one', (t) => {
  const log = makeSmallLog()
  const directory = writeLog(t, log)
  const digest = sha256Hex(testAction(1))
  const want = [
    'entries 1, 2: ended, signed',
    'asked     by uid 1000, gid 1000, pid 4001, recorded 2023-11-14T22:13:20.000Z',
    `          for "demo.true", digest ${digest}`,
    '          reason, in the requester\'s words: "because"',
    'decided   permit, by "grant 1"',
    'command   ["/usr/bin/true"]',
    `          executable "/usr/bin/true", SHA-256 "${'ab'.repeat(32)}"`,
    '          as uid 0, gid 0',
    'receipt   1, of a request at 2023-11-14T22:13:20.001Z, signature verified',
    'ended     2023-11-14T22:13:20.000Z: exited 0',
    '          2.5 ms, of them 1.5 ms of processor, at most 2048 KiB',
    'in force  pid_namespace, seccomp',
    'limits    of memory and processes: kept',
    'output    passed through: not seen',
    'policy    unsigned',
  ]
  for (const wanted of ['1', '2', digest, digest.slice(0, 9), `sha256:${digest}`]) {
    assert.deepEqual(show(directory, wanted), { status: 0, lines: want })
  }
  const last = show(directory, { last: 2 })
  assert.deepEqual(last.lines.slice(0, 8), [
    'entry 3: denied, signed',
    'asked     by uid 1000, gid 1000, pid 77, recorded 2023-11-14T22:13:20.000Z',
    '          for "demo.true"',
    '          reason, in the requester\'s words: "please"',
    'decided   deny: not_granted',
    'policy    unsigned',
    '',
    'entry 4: pending, signed',
  ])
})

test('audit show: no such request is status 1', (t) => {
  const directory = writeLog(t, makeSmallLog())
  for (const wanted of ['99', 'ffffffff']) {
    assert.deepEqual(show(directory, wanted), { status: 1, lines: ['no such request in the log'] })
    assert.equal(show(directory, wanted, true).status, 1)
  }
})

test('audit show: starts, stops and what a start found', (t) => {
  const log = makeTestLog()
  log.start()
  const intent = log.intent(1, { requesterText: '' })
  const receipt = log.receipt(1)
  const lost = log.receipt(2)
  log.recovered(1, { intent, receipt })
  log.recovered(2, { receipt: lost })
  log.recovered(3, { intent: log.intent(3), state: 'never_started' })
  log.outcome(4, log.intent(4, { action: '{"argv":1}' }), null, {
    end: { kind: 'failed', value: 2, stage: 'exec' },
    features: [],
  })
  log.stop()
  const directory = writeLog(t, log, 4)
  const lineOf = (wanted: string, at: number): string => show(directory, wanted).lines.at(at) ?? ''
  assert.equal(lineOf('0', 0), 'entry 0: event, signed')
  assert.match(lineOf('0', 1), /^started {3}2023-.*, host [0-9a-f]{64}$/)
  assert.equal(lineOf('1', 0), 'entries 1, 2: unknown, signed')
  assert.match(lineOf('1', -2), /^ended {5}unknown: the bridge went down while it may have run/)
  assert.equal(lineOf('3', 1), 'asked     not recorded: a receipt was found without an intent')
  assert.equal(lineOf('4', 0), 'entries 4, 5: never_started, not yet signed')
  assert.match(lineOf('5', -2), /never started: the bridge went down before its gate opened/)
  assert.match(lineOf('6', 1), /by uid not recorded/)
  assert.equal(lineOf('6', 8), 'ended     2023-11-14T22:13:20.000Z: failed 2 at exec')
  assert.equal(lineOf('6', -4), 'in force  nothing')
  assert.match(lineOf('8', 1), /^stopped {3}2023-.*, requested$/)
})

test('audit show: what was bound of the client’s input, and the unit that asked', (t) => {
  const log = makeTestLog()
  log.start()
  const sha256 = 'a'.repeat(64)
  const stdin = { sha256, size: 7 }
  const action = {
    subject: { uid: 1, gid: 2, unit: 'deploy.service' },
    stdin,
    secrets: { token: sha256 },
    inputs: {
      '/r/a': { device: '1', inode: '2', kind: 'file', sha256, size: 7 },
      '/r\u0085b': { device: '1', inode: '3', kind: 'new', sha256: null, size: null },
    },
  }
  log.intent(1, { action: formatCanonicalJson(action) })
  const { lines } = show(writeLog(t, log), '1')
  assert.match(lines[1] ?? '', /pid \d+, unit "deploy\.service", recorded /)
  assert.ok(
    lines.includes(`path      "/r/a", file, device "1", inode "2", 7 bytes, SHA-256 "${sha256}"`),
  )
  assert.ok(lines.includes('path      "/r\\u0085b", for a new file, device "1", inode "3"'))
  assert.ok(lines.includes(`stdin     7 bytes, SHA-256 "${sha256}"`))
  assert.ok(lines.includes(`secret    "token", commitment "${sha256}"`))
})

test('audit show: a run that could leave its sandbox is shown as one', (t) => {
  const log = makeTestLog()
  log.start()
  const intent = log.intent(1)
  log.outcome(1, intent, log.receipt(1), { features: ['seccomp', 'escapable'] })
  const { lines } = show(writeLog(t, log), '1')
  const at = lines.indexOf('in force  seccomp')
  assert.match(lines[at + 1] ?? '', /^ {10}but escapable: /)
})

test('audit show: promise 8: limits that a run hit, and what it lacked', (t) => {
  const log = makeTestLog()
  log.start()
  const lack = { feature: 'cgroup_limits', reason: 'needs\u0085 the controllers' }
  const rows = [
    [{ memory: 'hit', processes: 'kept' }, 'a process was killed for want of memory'],
    [
      { memory: 'hit', processes: 'hit' },
      'a process was killed for want of memory; there were as many processes as there may be',
    ],
    [{ memory: 'unknown', processes: 'unknown' }, 'of memory and processes: not counted'],
    [{ memory: 'kept', processes: 'kept' }, 'of memory and processes: kept'],
  ] as const
  for (const [run, [limits]] of rows.entries()) {
    const intent = log.intent(run)
    const missing = limits.memory === 'unknown' ? [lack, { ...lack, feature: 'seccomp' }] : []
    log.outcome(run, intent, log.receipt(run), { limits, missing })
  }
  const directory = writeLog(t, log)
  for (const [run, [{ memory }, words]] of rows.entries()) {
    const { lines } = show(directory, String(2 * run + 1))
    const at = lines.findIndex((line) => line.startsWith('in force'))
    assert.equal(lines[at + 1], `limits    ${words}`)
    const reason = '(needs\\u0085 the controllers)'
    const missing = `; missing cgroup_limits ${reason}; missing seccomp ${reason}`
    assert.ok(lines[at]?.endsWith(memory === 'unknown' ? missing : 'seccomp'), lines[at])
  }
})

test('audit show: a denial whose request could not be read, or whose rule and parameter are known', (t) => {
  const log = makeTestLog()
  const common = { salt: '0'.repeat(32), timeMs: 0, policy: 'unsigned' } as const
  const subject = { uid: 1, gid: 2, groups: [], pid: 3, foreign: false }
  const denial = { ...common, kind: 'denial', run: 1, subject } as const
  log.add({
    ...denial,
    action: null,
    code: 'request_malformed',
    rule: null,
    parameter: null,
    detail: null,
    requesterText: null,
  })
  log.add({
    ...denial,
    action: 'a.b',
    code: 'parameter_invalid',
    rule: 'one_of',
    parameter: 'p',
    detail: '"/r/a\u0085" is a link, or no directory',
    requesterText: '',
  })
  const directory = writeLog(t, log)
  assert.match(show(directory, '0').lines[2] ?? '', /nothing that has the form of an action/)
  assert.deepEqual(show(directory, '1').lines.slice(3, 7), [
    'decided   deny: parameter_invalid',
    '          parameter "p"',
    '          because "/r/a\\u0085" is a link, or no directory',
    '          rule "one_of"',
  ])
})

test('audit show --json: entries as they are, with leaf hash and what was verified', (t) => {
  const log = makeSmallLog()
  const { lines, status } = show(writeLog(t, log, 2), '1', true)
  const shown: unknown = JSON.parse(lines.join(''))
  assert.equal(status, 0)
  const [, intent, outcome] = log.entries.map((entry): unknown =>
    JSON.parse(new TextDecoder().decode(entry)),
  )
  const hashes = lines.join('').matchAll(/"leaf_hash":"([0-9a-f]{64})"/g)
  const [first, second] = Array.from(hashes, ([, hash]) => hash)
  assert.deepEqual(shown, {
    signed_size: 2,
    stories: [
      {
        state: 'ended',
        action_digest: sha256Hex(testAction(1)),
        signed: false,
        receipt_verified: true,
        entries: [
          { index: 1, leaf_hash: first, entry: intent },
          { index: 2, leaf_hash: second, entry: outcome },
        ],
      },
    ],
  })
})

test('C60: what a requester wrote is shown escaped, quoted and labelled', (t) => {
  const log = makeTestLog()
  const all = Array.from({ length: 0x100 }, (_, code) => String.fromCodePoint(code)).join('')
  log.intent(1, { requesterText: `${all}\u202e\u2066\u{e0041}`, grant: '\u001b]0;x\u0007' })
  const directory = writeLog(t, log)
  const { lines } = show(directory, '0')
  assert.match(lines[3] ?? '', /^ {10}reason, in the requester's words: "\\u0000\\u0001.*\\u001b/)
  assert.match(lines[4] ?? '', /^decided {3}permit, by "\\u001b\]0;x\\u0007"$/)
  show(directory, '0', true)
})

test('audit show: a forged receipt and a broken checkpoint are said', (t) => {
  const log = makeTestLog()
  const receipt = log.receipt(1)
  const forged = receipt.replace(/"signature":"...../, '"signature":"AAAAA')
  log.outcome(1, log.intent(1), forged)
  const directory = writeLog(t, log)
  assert.match(show(directory, '0').lines.join('\n'), /BAD SIGNATURE/)
  writeFileSync(join(directory, 'log/checkpoint'), makeTestLog(8).checkpoint())
  assert.match(show(directory, '0').lines[0] ?? '', /not yet signed/)
  rmSync(join(directory, 'log/checkpoint'))
  assert.match(show(directory, '0').lines[0] ?? '', /not yet signed/)
})

test('parseSelector: what is neither an index nor a digest is a wrong command line', () => {
  const wrong = ['', '-1', '1.5', 'abc', 'xyzxyz', 'a'.repeat(65), 'SHA256:aaaaaa', '9'.repeat(16)]
  const isUsage = (error: unknown): boolean =>
    error instanceof BelladonnaError && error.code === 'usage'
  for (const wanted of wrong.slice(0, -1))
    assert.throws(() => parseSelector(wanted), isUsage, wanted)
  for (const last of [0, -1, 1.5, Number.NaN, 10_001]) {
    assert.throws(() => parseSelector({ last }), isUsage)
  }
  assert.deepEqual(parseSelector('9'.repeat(16)), { kind: 'digest', prefix: '9'.repeat(16) })
  assert.deepEqual(parseSelector('007'), { kind: 'index', index: 7 })
})
