/**
 * The request's decoder. Bytes (the input's characters below 256) are refused as `frame_invalid`, or are what is written
 * again; and what it takes bell's encoder in C writes in the same way (native/fuzz/encode.c).
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { BelladonnaError } from '../../src/core/error.ts'
import { formatFrame } from '../../src/core/protocol/frame.ts'
import { wireKind } from '../../src/core/protocol/layout.ts'
import { formatRequest, parseRequest } from '../../src/core/protocol/request.ts'
import type { ActionRequest } from '../../src/core/protocol/request.ts'
import { fuzzProgram } from './native.ts'
import type { Target } from './target.ts'

const head = 8
const most = 512 // for one run of the encoder
const vectorFile = new URL('../../spec/vectors/wire-request.json', import.meta.url)

type Vectors = Readonly<{ valid: readonly Readonly<{ frame: string }>[] }>

export function requestTarget(): Target {
  const { valid }: Vectors = JSON.parse(readFileSync(vectorFile, 'utf8'))
  const taken: ActionRequest[] = []
  return {
    seeds: valid.flatMap(({ frame }) => {
      const bytes = frame.includes('*')
        ? Buffer.alloc(0)
        : Buffer.from(frame.replaceAll(' ', ''), 'hex')
      return bytes.length === 0 ? [] : [bytes.subarray(head).toString('latin1')]
    }),
    words: [
      ...['\x00', '\x01', '\x01\x00', '\x02\x00', '\x10', '\xff', '\xff\xff', '\x00\x80', '='],
      ...['\xc3\xa4', '\xc3', '\xed\xa0\x80', '\xf4\x90\x80\x80', '\xef\xbb\xbf', 'a', '-', 'A'],
      ...['\x07\x00service\x03\x00x=y', '\x01\x00a\x00\x00', '\x10aaaaaaaaaaaaaaaa'],
    ],
    run: (input) => {
      const body = Buffer.from(input, 'latin1')
      const request = read(body)
      if (request === undefined) return
      assert.ok(body.equals(formatRequest(request)), 'written again it is another')
      if (request.nonce === null) taken.push(request)
    },
    endRound: (isLast) => {
      if (isLast || taken.length >= most) compareWithEncoder(taken.splice(0))
    },
  }
}

function read(body: Buffer): ActionRequest | undefined {
  try {
    return parseRequest(body)
  } catch (error) {
    if (error instanceof BelladonnaError && error.code === 'frame_invalid') return undefined
    throw error
  }
}

/** A request is a line of hex words: action, reason, then name=value. The answer to each is a line, a frame. */
function compareWithEncoder(requests: readonly ActionRequest[]): void {
  const lines = requests.map(({ action, reason, parameters }) =>
    [action, reason, ...parameters.map(({ name, value }) => `${name}=${value}`)]
      .map((word) => `.${Buffer.from(word).toString('hex')}`)
      .join(' '),
  )
  const answer = spawnSync(fuzzProgram('encode'), {
    input: `${lines.join('\n')}\n`,
    encoding: 'utf8',
  })
  assert.equal(answer.status, 0, answer.stderr)
  const frames = answer.stdout.split('\n')
  for (const [at, request] of requests.entries()) {
    const want = formatFrame(wireKind.request, formatRequest(request))
    const shown = JSON.stringify(request)
    assert.equal(frames[at], Buffer.from(want).toString('hex'), `bell writes another for ${shown}`)
  }
}
