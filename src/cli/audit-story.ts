import type { JsonValue } from '../core/json/canonical.ts'
import { parseStrictJson } from '../core/json/strict.ts'
import type {
  CountedOutput,
  DenialEntry,
  Entry,
  IntentEntry,
  OutcomeEntry,
  OutcomeOutput,
  OutputStream,
  PolicyEntry,
  RecoveredEntry,
  Recording,
  RecordingLack,
} from '../core/audit/entry.ts'
import { formatHex, leafHash } from '../core/audit/merkle.ts'
import { formatPrintable, formatQuoted } from '../core/audit/printable.ts'
import { parseReceipt, verifyReceipt } from '../core/audit/receipt.ts'
import type { Receipt } from '../core/audit/receipt.ts'
import type { VerifierKey } from '../core/audit/signed-note.ts'
import { escapableMark } from '../core/sandbox/features.ts'
import { actionDigestOf } from '../core/audit/story.ts'
import type { PlacedEntry, Story } from '../core/audit/story.ts'

/** Where a story stands. */
type StoryState = 'denied' | 'pending' | 'ended' | 'unknown' | 'never_started' | 'event'

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** A story as `audit show --json` prints it. */
export function storyJson(story: Story, signedSize: number, key: VerifierKey): JsonValue {
  const receipt = receiptOf(story, key)
  return {
    state: stateOf(story),
    action_digest: actionDigestOf(story),
    signed: isSigned(story, signedSize),
    receipt_verified: receipt === null ? null : receipt.isVerified,
    entries: placedOf(story).map(({ index, bytes }) => ({
      index,
      leaf_hash: formatHex(leafHash(bytes)),
      entry: parseStrictJson(decoder.decode(bytes)),
    })),
  }
}

/** A story as text for people: who asked, what was decided, what ran, how it ended. */
export function describeStory(
  story: Story,
  signedSize: number,
  key: VerifierKey,
): readonly string[] {
  const { first, end } = story
  const places = placedOf(story).map(({ index }) => index)
  const signed = isSigned(story, signedSize) ? 'signed' : 'not yet signed'
  return [
    `${places.length > 1 ? 'entries' : 'entry'} ${places.join(', ')}: ${stateOf(story)}, ${signed}`,
    ...describeFirst(first.entry),
    ...describeReceipt(story, key),
    ...(end === null ? [] : describeEnd(end.entry)),
    `policy    ${first.entry.policy}`,
  ]
}

function describeFirst(entry: Entry): readonly string[] {
  switch (entry.kind) {
    case 'intent':
      return describeIntent(entry)
    case 'denial':
      return describeDenial(entry)
    case 'recovered':
      return [
        `asked     not recorded: a receipt was found without an intent`,
        ...describeEnd(entry),
      ]
    case 'start':
      return [
        `started   ${formatTime(entry.timeMs)}, host ${entry.host}`,
        `policy    digest ${entry.policyDigest}`,
        `enforces  ${entry.features.join(', ')}`,
      ]
    case 'stop':
      return [`stopped   ${formatTime(entry.timeMs)}, ${entry.reason}`]
    case 'policy':
      return describePolicy(entry)
    case 'outcome':
      return describeEnd(entry)
  }
}

function describePolicy({ timeMs, state, policyDigest, reason }: PolicyEntry): readonly string[] {
  return [
    `read      the installed policy, ${formatTime(timeMs)}: ${state}`,
    ...(reason === null ? [] : [`          ${formatPrintable(reason)}`]),
    `in force  digest ${policyDigest}`,
  ]
}

function describeIntent(entry: IntentEntry): readonly string[] {
  const action = membersOf(parseStrictJson(entry.action))
  const subject = membersOf(action['subject'])
  const executable = membersOf(action['executable'])
  const runAs = membersOf(action['run_as'])
  return [
    `asked     by uid ${show(subject['uid'])}, gid ${show(subject['gid'])}, pid ${entry.pid}${inUnit(subject['unit'])}, recorded ${formatTime(entry.timeMs)}`,
    `          for ${show(action['action'])}, digest ${entry.actionDigest}`,
    ...describeRequesterText(entry.requesterText),
    `decided   ${entry.decision}, by ${formatQuoted(entry.grant)}`,
    `command   ${show(action['argv'])}`,
    `          executable ${show(executable['path'])}, SHA-256 ${show(executable['sha256'])}`,
    `          as uid ${show(runAs['uid'])}, gid ${show(runAs['gid'])}`,
    ...describeFiles(membersOf(action['inputs'])),
    ...describeInput(membersOf(action['stdin']), membersOf(action['secrets'])),
    ...describeProxy(membersOf(action['proxy'])),
  ]
}

/** Which thing of the host each path was, and what was in it where that is bound. */
function describeFiles(files: Readonly<Record<string, JsonValue>>): readonly string[] {
  return Object.entries(files).map(([path, value]) => {
    const { kind, device, inode, sha256, size } = membersOf(value)
    const content = sha256 === null ? '' : `, ${show(size)} bytes, SHA-256 ${show(sha256)}`
    const what = kind === 'new' ? 'for a new file' : kind === 'file' ? 'file' : 'directory'
    return `path      ${formatQuoted(path)}, ${what}, device ${show(device)}, inode ${show(inode)}${content}`
  })
}

/** What was read of the client's before it was permitted. Of a secret nobody here can say more than its name. */
function describeInput(
  stdin: Readonly<Record<string, JsonValue>>,
  secrets: Readonly<Record<string, JsonValue>>,
): readonly string[] {
  const names = Object.keys(secrets)
  return [
    ...('sha256' in stdin
      ? [`stdin     ${show(stdin['size'])} bytes, SHA-256 ${show(stdin['sha256'])}`]
      : []),
    ...names.map((name) => `secret    ${formatQuoted(name)}, commitment ${show(secrets[name])}`),
  ]
}

/** What of a bus its proxy lets through: nothing else of it is reached. */
function describeProxy(proxy: Readonly<Record<string, JsonValue>>): readonly string[] {
  if (!('allow' in proxy)) return []
  return [
    ...Object.entries(membersOf(proxy['allow'])).map(
      ([socket, calls]) => `filtered  ${formatQuoted(socket)}, but for ${show(calls)}`,
    ),
    `          by ${show(proxy['path'])}, SHA-256 ${show(proxy['sha256'])}`,
  ]
}

function describeDenial(entry: DenialEntry): readonly string[] {
  const { uid, gid, pid } = entry.subject
  return [
    `asked     by uid ${uid}, gid ${gid}, pid ${pid}, recorded ${formatTime(entry.timeMs)}`,
    `          for ${entry.action === null ? 'nothing that has the form of an action' : formatQuoted(entry.action)}`,
    ...describeRequesterText(entry.requesterText),
    `decided   deny: ${entry.code}`,
    ...(entry.parameter === null ? [] : [`          parameter ${formatQuoted(entry.parameter)}`]),
    ...(entry.detail === null ? [] : [`          because ${formatPrintable(entry.detail)}`]),
    ...(entry.rule === null ? [] : [`          rule ${formatQuoted(entry.rule)}`]),
  ]
}

function inUnit(unit: JsonValue | undefined): string {
  return typeof unit === 'string' ? `, unit ${formatQuoted(unit)}` : ''
}

function describeRequesterText(text: string | null): readonly string[] {
  return text === null || text === ''
    ? []
    : [`          reason, in the requester's words: ${formatQuoted(text)}`]
}

function describeReceipt(story: Story, key: VerifierKey): readonly string[] {
  const found = receiptOf(story, key)
  if (found === null) return []
  const { receipt, isVerified } = found
  const signature = isVerified ? 'signature verified' : 'BAD SIGNATURE'
  return [
    `receipt   ${receipt.number}, of a request at ${formatTime(receipt.timeMs)}, ${signature}`,
  ]
}

function describeEnd(entry: Entry): readonly string[] {
  switch (entry.kind) {
    case 'outcome':
      return describeOutcome(entry)
    case 'recovered':
      return [
        `ended     ${describeRecovered(entry)}, found ${formatTime(entry.timeMs)}`,
        ...(entry.recording === null ? [] : describeRecording(entry.recording)),
      ]
    case 'start':
    case 'intent':
    case 'denial':
    case 'stop':
    case 'policy':
      return []
  }
}

function describeOutcome({
  end,
  usage,
  features,
  limits,
  missing,
  output,
  timeMs,
}: OutcomeEntry): readonly string[] {
  const wall = (usage.wallUs / 1000).toFixed(1)
  const processor = ((usage.userUs + usage.systemUs) / 1000).toFixed(1)
  const stage = end.stage === 'none' ? '' : ` at ${end.stage}`
  const inForce = features.filter((name) => name !== escapableMark)
  return [
    `ended     ${formatTime(timeMs)}: ${end.kind} ${end.value}${stage}`,
    `          ${wall} ms, of them ${processor} ms of processor, at most ${usage.maxRssKib} KiB`,
    `in force  ${inForce.length === 0 ? 'nothing' : inForce.join(', ')}${describeMissing(missing)}`,
    ...(features.includes(escapableMark)
      ? ['          but escapable: it could connect to Unix sockets that its profile shows']
      : []),
    `limits    ${describeLimits(limits)}`,
    ...describeOutput(output),
  ]
}

function describeMissing(missing: OutcomeEntry['missing']): string {
  const lacks = missing.map(({ feature, reason }) => `; missing ${feature} (${reason})`)
  return formatPrintable(lacks.join(''))
}

function describeLimits({ memory, processes }: OutcomeEntry['limits']): string {
  const hit = [
    ...(memory === 'hit' ? ['a process was killed for want of memory'] : []),
    ...(processes === 'hit' ? ['there were as many processes as there may be'] : []),
  ]
  if (hit.length > 0) return hit.join('; ')
  return `of memory and processes: ${memory === 'unknown' ? 'not counted' : 'kept'}`
}

function describeOutput(output: OutcomeOutput): readonly string[] {
  switch (output.kind) {
    case 'pass':
      return [`output    passed through: not seen`]
    case 'unknown':
      return [
        `output    not known: its relay said nothing`,
        ...(output.recording === null ? [] : describeRecording(output.recording)),
      ]
    case 'capped':
      return describeCounted(output)
    case 'recorded':
      return [...describeCounted(output), ...describeRecording(output.recording)]
  }
}

function describeCounted(output: CountedOutput): readonly string[] {
  const { truncated, undelivered, limitBytes } = output
  const cut = truncated ? ', cut there' : ''
  const left = undelivered ? ', not all taken by the client' : ''
  return [
    `output    at most ${limitBytes} bytes${cut}${left}`,
    `          stdout ${describeStream(output.stdout)}`,
    `          stderr ${describeStream(output.stderr)}`,
    ...(output.terminal === null ? [] : [`          terminal ${describeStream(output.terminal)}`]),
  ]
}

const lacks: Readonly<Record<RecordingLack, string>> = {
  no_space: 'the disk was full',
  failed: 'its file could not be written or read',
  not_durable: 'it may not be on the disk',
  relay_lost: 'who wrote it ended without a word',
  crash: 'the bridge ended before the run did',
}

function describeRecording({ name, size, sha256, incomplete }: Recording): readonly string[] {
  return [
    `recorded  recordings/${name}.rec, ${size} bytes, SHA-256 ${sha256}`,
    ...(incomplete === null ? [] : [`          incomplete: ${lacks[incomplete]}`]),
  ]
}

function describeStream({ written, delivered, sha256 }: OutputStream): string {
  return `${written} bytes, ${delivered} delivered, SHA-256 ${sha256}`
}

function describeRecovered(entry: RecoveredEntry): string {
  return entry.state === 'unknown'
    ? 'unknown: the bridge went down while it may have run'
    : 'never started: the bridge went down before its gate opened'
}

function stateOf({ first, end }: Story): StoryState {
  const { entry } = end ?? first
  switch (entry.kind) {
    case 'denial':
      return 'denied'
    case 'intent':
      return 'pending'
    case 'outcome':
      return 'ended'
    case 'recovered':
      return entry.state
    case 'start':
    case 'stop':
    case 'policy':
      return 'event'
  }
}

function receiptOf(
  { first, end }: Story,
  key: VerifierKey,
): { receipt: Receipt; isVerified: boolean } | null {
  const { entry } = end ?? first
  if (!('receipt' in entry) || entry.receipt === null) return null
  const receipt = parseReceipt(encoder.encode(entry.receipt))
  return { receipt, isVerified: verifyReceipt(receipt, key.key) }
}

function isSigned(story: Story, signedSize: number): boolean {
  return placedOf(story).every(({ index }) => index < signedSize)
}

function placedOf({ first, end }: Story): readonly PlacedEntry[] {
  return end === null ? [first] : [first, end]
}

function membersOf(value: JsonValue | undefined): Readonly<Record<string, JsonValue>> {
  return Object.fromEntries(
    typeof value === 'object' && value !== null ? Object.entries(value) : [],
  )
}

function show(value: JsonValue | undefined): string {
  return value === undefined ? 'not recorded' : formatPrintable(JSON.stringify(value))
}

function formatTime(timeMs: number): string {
  return new Date(timeMs).toISOString()
}
