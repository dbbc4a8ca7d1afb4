import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
} from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { BelladonnaError } from '../core/error.ts'
import { readOwnFile, replaceFile } from './durable-file.ts'

/** The executor's key: it signs receipts and checkpoints, and its fingerprint is the host's id. */
export type HostKey = Readonly<{
  /** SHA-256 of the raw public key, 64 hex digits. */
  hostId: string
  /** The raw Ed25519 public key, 32 bytes. */
  publicKey: Uint8Array
  sign: (bytes: Uint8Array) => Uint8Array
}>

const keyFile = 'host.key'
const publicFile = 'host.pub'
const machineFile = 'machine-id'
const maxKeyBytes = 4096
const whatToDo = 'to begin as another host move log, receipts and state away, all three'

/**
 * Loads the host's key from the state directory; at the first start it is made, and this machine's id with it.
 *
 * Trusted: who can read the file can sign in this host's name; it is root's, 0600, and a start on a machine with
 * another id is refused: a copied disk must not go on as the same host.
 *
 * @throws {BelladonnaError} `state_invalid`
 */
export function loadHostKey(stateDirectory: string, uid: number): HostKey {
  const stored = readOwnFile(`${stateDirectory}/${keyFile}`, uid, maxKeyBytes)
  const privateKey = stored === undefined ? makeKey(stateDirectory) : parseKey(stored)
  checkMachine(stateDirectory, uid, stored === undefined)
  const publicKey = rawPublicKey(privateKey)
  return {
    hostId: createHash('sha256').update(publicKey).digest('hex'),
    publicKey,
    sign: (bytes) => sign(null, bytes, privateKey),
  }
}

/** Keeps the public half beside the private one, as the vkey line that auditors are given. */
export function keepPublicKey(stateDirectory: string, uid: number, vkey: string): void {
  const wanted = new TextEncoder().encode(`${vkey}\n`)
  const stored = readOwnFile(`${stateDirectory}/${publicFile}`, uid, maxKeyBytes)
  if (stored !== undefined && Buffer.compare(stored, wanted) === 0) return
  replaceFile(stateDirectory, publicFile, wanted, 0o644)
}

function makeKey(stateDirectory: string): KeyObject {
  const { privateKey } = generateKeyPairSync('ed25519')
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  replaceFile(stateDirectory, keyFile, new TextEncoder().encode(pem), 0o600)
  return privateKey
}

function parseKey(stored: Uint8Array): KeyObject {
  try {
    const key = createPrivateKey({ key: new TextDecoder().decode(stored), format: 'pem' })
    if (key.asymmetricKeyType === 'ed25519') return key
  } catch (cause) {
    throw new BelladonnaError('state_invalid', 'read the host key', { cause })
  }
  throw new BelladonnaError('state_invalid', 'read the host key: not Ed25519')
}

/** SPKI of Ed25519 ends with the 32 raw bytes (RFC 8410, section 4). */
function rawPublicKey(privateKey: KeyObject): Uint8Array {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  return new Uint8Array(spki.subarray(spki.length - 32))
}

/**
 * The same for who starts the bridge, so that a start on another machine ends with a reason, and is not tried without end.
 *
 * @throws {BelladonnaError} `state_invalid`
 */
export function checkStateMachine(stateDirectory: string, uid: number): void {
  const stored = readOwnFile(`${stateDirectory}/${keyFile}`, uid, maxKeyBytes)
  if (stored !== undefined) checkMachine(stateDirectory, uid, false)
}

function checkMachine(stateDirectory: string, uid: number, first: boolean): void {
  const machine = readMachineId()
  const stored = readOwnFile(`${stateDirectory}/${machineFile}`, uid, maxKeyBytes)
  if (stored === undefined && first) {
    replaceFile(stateDirectory, machineFile, new TextEncoder().encode(machine), 0o644)
    return
  }
  const before = stored === undefined ? 'nothing' : new TextDecoder().decode(stored)
  if (before !== machine) {
    throw new BelladonnaError(
      'state_invalid',
      `this state was made on the machine ${JSON.stringify(before)}, and this is ${JSON.stringify(machine)}: ${whatToDo}`,
    )
  }
}

/** /etc/machine-id, or `none` where there is no such file (containers). */
function readMachineId(): string {
  try {
    return readFileSync('/etc/machine-id', 'utf8').trim()
  } catch {
    return 'none'
  }
}
