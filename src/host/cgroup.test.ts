import assert from 'node:assert/strict'
import test from 'node:test'
import { newCgroupPaths, ownCgroups } from './cgroup.ts'

const hybridMounts = [
  'tmpfs /sys/fs/cgroup tmpfs rw 0 0',
  'cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0',
  'cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0',
  'cgroup2 /sys/fs/cgroup/unified cgroup2 rw,relatime 0 0',
].join('\n')
const unifiedMounts = 'cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n'

const cases: readonly (readonly [
  name: string,
  mounts: string,
  own: string,
  want: readonly string[],
])[] = [
  [
    'on a hybrid host all three are found, each below our own place there',
    hybridMounts,
    '8:pids:/\n4:memory:/a/b\n0::/\n',
    ['/sys/fs/cgroup/unified/NAME', '/sys/fs/cgroup/pids/NAME', '/sys/fs/cgroup/memory/a/b/NAME'],
  ],
  [
    'on a unified host there is one',
    unifiedMounts,
    '0::/system.slice/belladonna.service\n',
    ['/sys/fs/cgroup/system.slice/belladonna.service/NAME', '', ''],
  ],
  ['a host without cgroup mounts has none', '', '0::/\n', ['', '', '']],
  [
    'a hierarchy in which we have no place is none',
    hybridMounts,
    '8:pids:/\n',
    ['', '/sys/fs/cgroup/pids/NAME', ''],
  ],
]

for (const [name, mounts, own, want] of cases) {
  test(`cgroup paths: ${name}`, () => {
    const { unified, pids, memory } = newCgroupPaths(ownCgroups(mounts, own), '/')
    const found = [unified, pids, memory].map((path) =>
      path.replace(/belladonna\.[0-9a-f]{12}\.[0-9]+\.[0-9a-f]{4}$/, 'NAME'),
    )
    assert.deepEqual(found, want)
  })
}
