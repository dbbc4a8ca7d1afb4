/**
 * Checks of the child that nothing else stands behind: each is tried against the launcher as it is, and against one
 * without them, which must let it through. Their executor permits whatever is asked.
 */
import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, utimesSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { actionText } from '../../support/action-text.ts'
import { openTwoLaunchers } from './two-launchers.ts'

const skip = process.geteuid?.() === 0 ? false : 'needs root'
const directory = mkdtempSync('/var/lib/belladonna-test.')
const policy = `schema = 1
[profile.place]
read = ["/usr", "${directory}"]
${actionText('any', 'place', ['/usr/bin/true'])}
`
const both = openTwoLaunchers(directory, policy, [
  {
    file: 'sandbox/identity.c',
    from: 'host.privileged && syscall(SYS_setgroups, command->group_count, groups) != 0',
    to: 'groups == (const gid_t *)8',
  },
  {
    file: 'sandbox/sandbox.c',
    from: ': sizeof now;',
    to: ': offsetof(struct wire_stamp, ctime_ns);',
  },
  {
    file: 'sandbox/sandbox.c',
    from: 'open_in_root(executable_path, 0, RESOLVE_NO_SYMLINKS,',
    to: 'open_in_root(executable_path, 0, 0,',
  },
])

/** A program of its own for each bridge, below a directory of its own. */
function newProgram(isOurs: boolean, name: string): readonly [program: string, place: string] {
  const place = join(directory, `${name}-${isOurs ? 'ours' : 'weaker'}`)
  mkdirSync(place)
  const program = join(place, 'program')
  copyFileSync('/usr/bin/echo', program)
  chmodSync(program, 0o755)
  // Whole milliseconds, so that whoever puts them back can.
  utimesSync(program, 1_700_000_000, 1_700_000_000)
  return [program, place]
}

test(
  'L7: a run has the supplementary groups of its command and no other, which one call sees to alone',
  { skip },
  async () => {
    const words = ['/usr/bin/grep', '^Groups:', '/proc/self/status']
    for (const [bare, isOurs] of both()) {
      const options = { id: 1234, runGroups: [7, 61_298] }
      const { stdout } = await bare.run(bare.plan('place'), words, options)
      assert.equal(/^Groups:\t7 61298 ?\n$/.test(stdout), isOurs, stdout)
    }
  },
)

test(
  'L7 C12: a program of the same size and mtime as the one that was hashed does not start: its ctime is another',
  { skip },
  async () => {
    for (const [bare, isOurs] of both()) {
      const [program] = newProgram(isOurs, 'forged')
      const early = [['forge', '\x7fELF', program]] as const
      const { stdout } = await bare.run(bare.plan('place'), [program, 'ran'], { early })
      assert.equal(stdout, isOurs ? '' : 'ran\n')
    }
  },
)

test(
  'L7 C12: no link is followed on the way to the program, not even to the very file',
  { skip },
  async () => {
    for (const [bare, isOurs] of both()) {
      const [program, place] = newProgram(isOurs, 'linked')
      const early = [
        ['rename', place, `${place}.real`],
        ['symlink', `${place}.real`, place],
      ] as const
      const { stdout } = await bare.run(bare.plan('place'), [program, 'ran'], { early })
      assert.equal(stdout, isOurs ? '' : 'ran\n')
    }
  },
)
