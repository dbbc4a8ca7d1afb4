import { quote } from '../toml/problem.ts'
import type { Place } from '../toml/problem.ts'
import { openFields, readText } from '../toml/reader.ts'
import type { Read, Report } from '../toml/reader.ts'

/**
 * One method that a run may call on a bus. `path` null: on any object of that name.
 *
 * There is no form that stands for more than one method: no whole name, interface or subtree, no signal, no name to own.
 */
export type DbusCall = Readonly<{
  name: string
  interface: string
  member: string
  path: string | null
}>

/** Longest name of a bus, an interface or a member (D-Bus Specification, "Valid Names"). */
const maxNameLength = 255
/** The longest path that is taken: older proxies read no longer one from a message. */
const maxPathLength = 255

/**
 * Reads an element of `dbus`: `{ name = "a.b1", call = "a.b1.Manager.Restart", path = "/a/b1" }`, `path` at will; or
 * `"a.b1.Manager.Restart"`, where the name is the interface without its last part.
 */
export const readDbusCall: Read<DbusCall> = (report, node) => {
  if (node.kind === 'string') return readShort(report, node, node.value)
  const fields = openFields(report, node, { required: ['name', 'call'], optional: ['path'] })
  const name = fields.read('name', checked(isBusName, 'a well-known name of a bus'), null)
  const call = fields.read('call', readCall, null)
  const path = fields.read('path', checked(isObjectPath, 'the path of an object'), null)
  return name === null || call === null ? null : { name, ...call, path }
}

/** As the entry, `status` and `check` show it. */
export function formatDbusCall(call: DbusCall): string {
  const path = call.path === null ? '' : ` ${call.path}`
  return `${call.name} ${call.interface}.${call.member}${path}`
}

/** Whether this call is known to make its caller root, or to let it run what it likes. The list is not complete, and cannot be. */
export function handsOver(call: DbusCall): boolean {
  return known.has(`${call.interface}.${call.member}`)
}

const known: ReadonlySet<string> = new Set([
  // Any command, as root: as a transient unit, a shell, by a unit's file or by what all units inherit.
  'org.freedesktop.systemd1.Manager.StartTransientUnit',
  // These take paths of unit files, wherever they are (org.freedesktop.systemd1(5)).
  'org.freedesktop.systemd1.Manager.LinkUnitFiles',
  'org.freedesktop.systemd1.Manager.EnableUnitFiles',
  'org.freedesktop.systemd1.Manager.EnableUnitFilesWithFlags',
  'org.freedesktop.systemd1.Manager.ReenableUnitFiles',
  // Puts processes into a unit, and so makes them the unit that a grant may name.
  'org.freedesktop.systemd1.Manager.AttachProcessesToUnit',
  'org.freedesktop.systemd1.Manager.SetEnvironment',
  'org.freedesktop.systemd1.Manager.UnsetAndSetEnvironment',
  'org.freedesktop.systemd1.Manager.SwitchRoot',
  'org.freedesktop.systemd1.Manager.BindMountUnit',
  'org.freedesktop.systemd1.Manager.MountImageUnit',
  'org.freedesktop.systemd1.Unit.BindMount',
  'org.freedesktop.systemd1.Unit.MountImage',
  'org.freedesktop.machine1.Manager.OpenMachineShell',
  'org.freedesktop.machine1.Machine.OpenShell',
  // What a package brings runs as root when it is installed.
  'org.freedesktop.PackageKit.Transaction.InstallFiles',
  'org.freedesktop.PackageKit.Transaction.InstallPackages',
])

function readShort(report: Report, place: Place, text: string): DbusCall | null {
  const call = splitCall(text)
  const name = call?.interface.slice(0, call.interface.lastIndexOf('.')) ?? ''
  if (call !== null && isBusName(name)) return { name, ...call, path: null }
  return report.add(place, 'dbus_call_invalid', `expected ${callForm}, not ${quote(text)}`)
}

const callForm = 'a bus name, an interface and a member, none of them with a wildcard'

const readCall: Read<Pick<DbusCall, 'interface' | 'member'>> = (report, node) => {
  const text = readText(report, node)
  if (text === null) return null
  const call = splitCall(text)
  if (call !== null) return call
  const message = `expected an interface and a member, without a wildcard, not ${quote(text)}`
  return report.add(node, 'dbus_call_invalid', message)
}

function checked(isFit: (text: string) => boolean, what: string): Read<string> {
  return (report, node) => {
    const text = readText(report, node)
    if (text === null || isFit(text)) return text
    return report.add(node, 'dbus_call_invalid', `expected ${what}, not ${quote(text)}`)
  }
}

function splitCall(text: string): Pick<DbusCall, 'interface' | 'member'> | null {
  const dot = text.lastIndexOf('.')
  const call = { interface: text.slice(0, Math.max(dot, 0)), member: text.slice(dot + 1) }
  return isInterfaceName(call.interface) && isMemberName(call.member) ? call : null
}

/** A name that a service owns; the bus's own is answered for by the proxy, and a unique one is another at each start. */
export function isBusName(text: string): boolean {
  const form = /^[A-Za-z_-][A-Za-z0-9_-]*(?:\.[A-Za-z_-][A-Za-z0-9_-]*)+$/
  return form.test(text) && text.length <= maxNameLength && text !== 'org.freedesktop.DBus'
}

export function isInterfaceName(text: string): boolean {
  const form = /^[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+$/
  return form.test(text) && text.length <= maxNameLength
}

export function isMemberName(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(text) && text.length <= maxNameLength
}

export function isObjectPath(text: string): boolean {
  return /^(?:\/|(?:\/[A-Za-z0-9_]+)+)$/.test(text) && text.length <= maxPathLength
}
