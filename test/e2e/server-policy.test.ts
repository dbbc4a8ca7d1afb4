/** Each action of packaging/policy/server.toml, run once by somebody of the group sudo, and seen to have done it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { after, before, test } from 'node:test'
import { checkout, startBridge } from '../support/bridge.ts'
import type { BellResult, TestBridge } from '../support/bridge.ts'
import { manager, startPrivateBus } from '../support/private-bus.ts'
import type { PrivateBus } from '../support/private-bus.ts'
import { readRecording, recorded } from '../support/recorded-bridge.ts'

const skip = process.geteuid?.() !== 0
const shipped = readFileSync(join(checkout, 'packaging/policy/server.toml'), 'utf8')
const swappiness = '/proc/sys/vm/swappiness'
let directory: string
let bridge: TestBridge
let bus: PrivateBus
let disk: string | undefined

/** As shipped, but that it works below a directory of the test's own instead of in the host's. */
function policyBelow(place: string): string {
  const moved = [
    '/srv',
    '/var/log',
    '/var/lib/logrotate',
    '/etc/logrotate.d',
    '/var/tmp',
    '/etc/ssl/private',
    '/etc/apt',
    '/var/lib/apt/lists',
    '/var/cache/apt',
  ]
  const reached = moved.reduce((text, path) => {
    const below = `${place}${path}`
    mkdirSync(below, { recursive: true })
    assert.ok(text.includes(`"${path}`) || text.includes(`=${path}/`), path)
    return text.replaceAll(`"${path}"`, `"${below}"`).replaceAll(`=${path}/`, `=${below}/`)
  }, shipped)
  const socket = `${place}/run/dbus/system_bus_socket`
  assert.ok(reached.includes('"/run/dbus/system_bus_socket"'))
  // Where dbus-send looks for the bus of the system.
  const env = `env = { DBUS_SYSTEM_BUS_ADDRESS = "unix:path=${socket}" }`
  const bused = reached.replace('"/run/dbus/system_bus_socket"', `"${socket}"`)
  return bused
    .replace('[action."service.restart"]\n', (line) => `${line}${env}\n`)
    .replace('[action."packages.refresh"]\n', (line) => {
      return `${line}env = { APT_CONFIG = "${place}/etc/apt/apt.conf" }\n`
    })
}

/** A file system of the test's own, in a file behind a loop device, with two errors noted in it. Returns its device's name. */
function mountDisk(folder: string): string {
  const [file, at] = [join(folder, 'disk'), join(folder, 'mounted')]
  mkdirSync(at)
  writeFileSync(file, '')
  truncateSync(file, 4 * 1024 * 1024)
  execFileSync('mkfs.ext4', ['-q', file])
  execFileSync('debugfs', ['-w', '-R', 'set_super_value error_count 2', file], { stdio: 'ignore' })
  execFileSync('mount', ['-o', 'loop,ro', file, at])
  const source = execFileSync('findmnt', ['--noheadings', '--output=SOURCE', at])
  return basename(source.toString().trim())
}

/** A repository with one package, and what apt-get needs to know to look there only. */
function makeRepository(): void {
  const [apt, lists, cache] = ['/etc/apt', '/var/lib/apt/lists', '/var/cache/apt'].map(place)
  mkdirSync(`${apt}/repository`)
  const fields = ['Package: belladonna-try', 'Version: 1', 'Architecture: all', 'Size: 1']
  writeFileSync(`${apt}/repository/Packages`, `${fields.join('\n')}\nFilename: ./x.deb\n`)
  writeFileSync(`${apt}/sources.list`, `deb [trusted=yes] file:${apt}/repository ./\n`)
  const places = [
    `Dir::Etc "${apt}";`,
    `Dir::State::lists "${lists}";`,
    `Dir::Cache "${cache}";`,
    'Acquire::Languages "none";',
  ]
  writeFileSync(`${apt}/apt.conf`, `${places.join('\n')}\n`)
}

function inNetwork(...words: readonly string[]): string {
  const [pid] = [bridge.pids().launcher]
  return execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, ...words], { encoding: 'utf8' })
}

before(async () => {
  if (skip) return
  directory = mkdtempSync('/var/lib/belladonna-test.')
  disk = mountDisk(directory)
  bus = await startPrivateBus(join(directory, 'run/dbus'))
  // In a network of its own: the firewall that is changed is nobody's.
  const start = (program: string, boot: string): readonly string[] => [
    ...['/usr/bin/unshare', '--net', program, boot],
  ]
  bridge = await startBridge({ policy: policyBelow(directory), start })
})
after(async () => {
  if (skip) return
  assert.deepEqual((await bridge.verify()).problems, [])
  assert.equal(await bridge.stop(), 0)
  await bus[Symbol.asyncDispose]()
  execFileSync('umount', [join(directory, 'mounted')])
  rmSync(directory, { recursive: true })
})

const place = (path: string): string => `${directory}${path}`

async function permitted(action: string, ...words: readonly string[]): Promise<BellResult> {
  const answer = await bridge.bell(['-r', 'a test', action, ...words])
  assert.equal(answer.status, 0, `${action}: ${answer.stderr}`)
  return answer
}

/** What is done by each action, and seen of it. */
const attempts: Readonly<Record<string, () => Promise<void>>> = {
  'kernel.log': async () => {
    await permitted('kernel.log', 'level=info')
  },
  'kernel.swappiness': async () => {
    const old = readFileSync(swappiness, 'utf8')
    const value = old.trim() === '10' ? '11' : '10'
    try {
      await permitted('kernel.swappiness', `value=${value}`)
      assert.equal(readFileSync(swappiness, 'utf8').trim(), value)
    } finally {
      writeFileSync(swappiness, old)
    }
  },
  'caches.drop': async () => {
    const { stdout } = await permitted('caches.drop', 'what=1')
    assert.equal(stdout, 'vm.drop_caches = 1\n')
  },
  'disk.usage': async () => {
    mkdirSync(place('/srv/data'))
    const { stdout } = await permitted('disk.usage', 'directory=data')
    assert.match(stdout, /^\s*1M-blocks +Avail +Use%\n +\d+M +\d+M +\d+%\n$/)
  },
  'disk.health': async () => {
    const { stdout } = await permitted('disk.health')
    // The loop device's, and those of the host's own disks.
    const counted = new Map(
      [...stdout.matchAll(/^\/sys\/fs\/ext4\/(.+)\/errors_count:(\d+)$/gm)].map(
        ([, name, count]) => [name, count],
      ),
    )
    assert.equal(counted.get(disk), '2')
    for (const [name, count] of counted) {
      assert.equal(readFileSync(`/sys/fs/ext4/${name}/errors_count`, 'utf8').trim(), count)
    }
  },
  'packages.refresh': async () => {
    makeRepository()
    // Its client is killed while it waits, and it goes on.
    appendFileSync(place('/etc/apt/apt.conf'), 'APT::Update::Pre-Invoke { "sleep 2"; };\n')
    const before = ['/usr/bin/timeout', '--foreground', '--signal=KILL', '1']
    const { end, usage } = await bridge.outcomeOf(async () => {
      assert.equal((await bridge.bell(['packages.refresh'], { before })).status, 137)
    })
    assert.deepEqual(end, { kind: 'exited', value: 0, stage: 'none' })
    assert.ok(usage.wallUs > 1_500_000, `${usage.wallUs} us`)
    const lists = readdirSync(place('/var/lib/apt/lists')).filter((name) => /_Packages$/.test(name))
    assert.equal(lists.length, 1)
    const text = readFileSync(join(place('/var/lib/apt/lists'), lists[0] ?? ''), 'utf8')
    assert.match(text, /^Package: belladonna-try$/m)
    // What cannot be fetched is a failure, and not a warning.
    rmSync(place('/etc/apt/repository/Packages'))
    assert.equal((await bridge.bell(['packages.refresh'])).status, 100)
  },
  'log.tail': async () => {
    writeFileSync(place('/var/log/app.log'), 'one\ntwo\nthree\n', { mode: 0o600 })
    assert.equal((await permitted('log.tail', 'lines=2', 'log=app.log')).stdout, 'two\nthree\n')
  },
  'log.rotate': async () => {
    writeFileSync(place('/var/log/old.log'), 'what was\n')
    const rule = `${place('/var/log/old.log')} {\n  rotate 3\n  create 0600 root root\n}\n`
    writeFileSync(place('/etc/logrotate.d/old'), rule, { mode: 0o644 })
    await permitted('log.rotate', 'config=old')
    assert.equal(readFileSync(place('/var/log/old.log.1'), 'utf8'), 'what was\n')
    assert.equal(readFileSync(place('/var/log/old.log'), 'utf8'), '')
  },
  'temporary.clean': async () => {
    for (const name of ['old', 'new']) writeFileSync(place(`/var/tmp/${name}`), '')
    const days = Date.now() / 1000 - 9 * 86_400
    utimesSync(place('/var/tmp/old'), days, days)
    const said: string[] = []
    const outcome = await bridge.outcomeOf(async () => {
      said.push((await permitted('temporary.clean', 'days=7')).stdout)
    })
    assert.deepEqual(said, [`${place('/var/tmp/old')}\n`])
    const kept = readRecording(bridge.root, recorded(outcome).recording)
    assert.deepEqual([kept.of('stdout').toString(), kept.isWhole], [said[0], true])
    assert.deepEqual(
      ['old', 'new'].map((name) => existsSync(place(`/var/tmp/${name}`))),
      [false, true],
    )
  },
  // Not systemd: a service of the test's own that owns its name, on a bus of the test's own.
  'service.restart': async () => {
    const { stdout } = await permitted('service.restart', 'service=cron.service')
    assert.match(stdout, /object path "\/org\/freedesktop\/systemd1\/job\/1"/)
    const call = `${manager.interface}.RestartUnit`
    const body = ['cron.service', 'replace']
    assert.deepEqual(bus.asked, [{ path: manager.path, call, body, uid: 0 }])
    const other = await bridge.bell(['service.restart', 'service=dbus.service'])
    assert.equal(other.status, 125)
    assert.equal(bus.asked.length, 1)
  },
  'firewall.block': async () => {
    inNetwork('nft', 'add', 'table', 'inet', 'filter')
    inNetwork('nft', 'add', 'set', 'inet', 'filter', 'blocked', '{ type ipv4_addr; }')
    await permitted('firewall.block', 'address=192.0.2.77')
    assert.match(inNetwork('nft', 'list', 'set', 'inet', 'filter', 'blocked'), /192\.0\.2\.77/)
    const wrong = await bridge.bell(['-r', 'a test', 'firewall.block', 'address=192.0.2.256'])
    assert.equal(wrong.status, 125)
  },
  'sockets.list': async () => {
    assert.match((await permitted('sockets.list')).stdout, /^State +Recv-Q +Send-Q/)
  },
  'certificate.expiry': async () => {
    const [key, certificate] = [place('/etc/ssl/private/key'), place('/etc/ssl/private/web.pem')]
    const made = [
      'req',
      '-x509',
      '-newkey',
      'ed25519',
      '-nodes',
      '-subj',
      '/CN=web.example',
      '-days',
      '30',
    ]
    execFileSync('openssl', [...made, '-keyout', key, '-out', certificate], { stdio: 'ignore' })
    const { stdout } = await permitted('certificate.expiry', 'certificate=web.pem')
    assert.match(stdout, /^subject=CN ?= ?web\.example\nnotAfter=/)
  },
  'account.status': async () => {
    assert.match((await permitted('account.status', 'user=daemon')).stdout, /^daemon L /)
  },
}

test('the policy for servers: there is an attempt for each of its actions', () => {
  const named = [...shipped.matchAll(/^\[action\."([^"]+)"\]$/gm)].map(([, name]) => name)
  assert.deepEqual(named.toSorted(), Object.keys(attempts).toSorted())
  assert.ok(named.length >= 8)
})

for (const [action, attempt] of Object.entries(attempts)) {
  test(`the policy for servers: ${action} is run, and does what it says`, { skip }, attempt)
}
