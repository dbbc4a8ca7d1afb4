import { release } from 'node:os'

const [major = 0, minor = 0] = release().split('.').map(Number)

/** Whether this kernel is that version of Linux or a newer one. */
export function isLinux(wantedMajor: number, wantedMinor: number): boolean {
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}
