/**
 * Bugs that fuzzing must find, or it finds nothing. Those of C are native/fuzz/planted/TARGET-NAME.sed, compiled by
 * native/build; those of TypeScript are changed into a copy of the sources here.
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkout, nativeTargets } from './seeds.ts'
import type { NativeTarget } from './seeds.ts'
import type { ScriptTarget } from './target.ts'

type ScriptBug = Readonly<{
  target: ScriptTarget
  about: string
  file: string
  find: string
  replace: string
}>

export const scriptBugs: readonly ScriptBug[] = [
  {
    target: 'match',
    about: 'a count without a comma means "at least"',
    file: 'src/core/policy/pattern.ts',
    find: 'comma !== undefined && high === undefined ? null',
    replace: 'high === undefined ? null',
  },
  {
    target: 'match',
    about: 'a range loses its last character',
    file: 'src/core/policy/pattern.ts',
    find: 'return [[first, last]]',
    replace: 'return [[first, Math.max(first, last - 1)]]',
  },
  {
    target: 'policy',
    about: 'the compiler takes more uses than can be loaded',
    file: 'src/core/policy/compile-grant.ts',
    find: 'readInteger(1, maxUses)',
    replace: 'readInteger(1, 2 ** 40)',
  },
  {
    target: 'policy',
    about: 'places are counted from 0',
    file: 'src/host/toml-tree.ts',
    find: 'return { file, line, column: column + 1 }',
    replace: 'return { file, line, column }',
  },
  {
    target: 'compiled',
    about: 'text that is not canonical is loaded',
    file: 'src/core/policy/compiled-parse.ts',
    find: "if (formatCompiledPolicy(policy) !== text) throw misshapen('policy', 'not canonical JSON')",
    replace: '',
  },
  {
    target: 'request',
    about: 'bytes after the request are passed over',
    file: 'src/core/protocol/request.ts',
    find: 'expectEnd(reader)\n',
    replace: '\n',
  },
  {
    target: 'request',
    about: 'a value is cut at its first "="',
    file: 'src/core/protocol/request.ts',
    find: 'writeText16(writer, value)',
    replace: "writeText16(writer, value.replace(/=.*/s, ''))",
  },
  {
    target: 'unit',
    about: 'a slice may be in any other one',
    file: 'src/core/protocol/unit.ts',
    find: "stem !== (parent === '' ? last : `${parent}-${last}`)",
    replace: "(parent === '' && stem !== last)",
  },
  {
    target: 'unit',
    about: 'one user has a manager',
    file: 'src/core/protocol/unit.ts',
    find: '/^user@[^/]*\\.service$/',
    replace: '/^user@1000\\.service$/',
  },
  {
    target: 'shebang',
    about: '"env" is known by one path alone',
    file: 'src/core/policy/shebang.ts',
    find: "path.endsWith('/env')",
    replace: "path === '/usr/bin/env'",
  },
  {
    target: 'shebang',
    about: 'a line may end behind what the kernel reads',
    file: 'src/core/policy/shebang.ts',
    find: 'head.subarray(0, shebangBytes).indexOf(lineEnd)',
    replace: 'head.indexOf(lineEnd)',
  },
  {
    target: 'frames',
    about: 'a flag of DECLINED that is none means "no"',
    file: 'src/core/protocol/peer-frames.ts',
    find: 'if (flag > 1)',
    replace: 'if (flag > 255)',
  },
  {
    target: 'frames',
    about: 'a relay may have delivered the cap of each stream',
    file: 'src/core/protocol/run-output.ts',
    find: 'stdout.delivered + stderr.delivered + terminal.delivered > limitBytes',
    replace: 'Math.max(stdout.delivered, stderr.delivered, terminal.delivered) > limitBytes',
  },
  {
    target: 'records',
    about: 'a frame is good at any place',
    file: 'src/host/record-frame.ts',
    find: 'crc32(place, file.seed)',
    replace: 'file.seed',
  },
  {
    target: 'records',
    about: 'a good frame behind a bad one is cut off with it',
    file: 'src/host/record-scan.ts',
    find: 'if (readFrame(window, file, base + at) !== undefined)',
    replace: 'if (base + at < 0)',
  },
  {
    target: 'recording',
    about: 'what stands behind the end in another piece is passed over',
    file: 'src/core/audit/recording.ts',
    find: 'if (isWhole && piece.length > 0)',
    replace: 'if (isWhole && piece.length > 65_536)',
  },
  {
    target: 'recording',
    about: 'the heads of chunks do not count against the limit',
    file: 'src/core/audit/recording.ts',
    find: 'room -= chunkHeadBytes + size',
    replace: 'room -= size',
  },
  {
    target: 'log',
    about: 'what a start has closed it closes again',
    file: 'src/core/audit/recovery.ts',
    find: 'closed.add(digestKey(digest))',
    replace: '',
  },
  {
    target: 'log',
    about: 'the tree is not compared with what was signed',
    file: 'src/core/audit/verify.ts',
    find: 'if (size === tree.size &&',
    replace: 'if (size < 0 &&',
  },
  {
    target: 'services',
    about: 'a gate opens before its receipt is durable',
    file: 'src/daemon/executor/executor.ts',
    find: "if (found.stage === 'receipted') open(host, found)\n  }\n\n  const drop",
    replace: 'open(host, found)\n  }\n\n  const drop',
  },
  {
    target: 'services',
    about: 'a use that a run took is given back at its end',
    file: 'src/daemon/executor/executor.ts',
    find: 'wasGivenUp ? found.use : (read ?? null)',
    replace: 'found?.use ?? read ?? null',
  },
]

/** What targets have from other tests. */
const beside = ['test/log-fixture.ts', 'test/support']

/** A copy of what a target needs, with one bug in it. */
export function plantScriptBug({
  file,
  find,
  replace,
}: ScriptBug): Disposable & Readonly<{ root: string }> {
  const root = mkdtempSync(join(tmpdir(), 'belladonna-planted.'))
  mkdirSync(join(root, 'test'))
  for (const path of ['package.json', 'src', 'spec', 'test/fuzz', 'test/cli', ...beside]) {
    cpSync(join(checkout, path), join(root, path), { recursive: true })
  }
  for (const path of ['native', 'node_modules']) symlinkSync(join(checkout, path), join(root, path))
  const text = readFileSync(join(root, file), 'utf8')
  if (text.split(find).length !== 2) throw new Error(`${file}: ${find} is not there once`)
  writeFileSync(
    join(root, file),
    text.replace(find, () => replace),
  )
  return { root, [Symbol.dispose]: () => rmSync(root, { recursive: true }) }
}

type NativeBug = Readonly<{ target: NativeTarget; program: string; about: string }>

/** By the files there are: the first line of each is the source that it changes, the second says what the bug is. */
export function nativeBugs(names: readonly string[]): readonly NativeBug[] {
  return names.map((name) => {
    const target = nativeTargets.find((known) => name.startsWith(`${known}-`))
    if (target === undefined) throw new Error(`native/fuzz/planted/${name}: of which target?`)
    const text = readFileSync(join(checkout, 'native/fuzz/planted', name), 'utf8')
    const about = /^# .*\n# (.*)/.exec(text)?.[1] ?? name
    return { target, program: `planted-${name.replace(/\.sed$/, '')}`, about }
  })
}
