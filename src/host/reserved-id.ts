import { existsSync, readFileSync } from 'node:fs'

/** Where ids can be somebody's; other paths are for tests. */
export type IdPlaces = Readonly<{ passwd: string; group: string; dynamic: string }>

export const systemPlaces: IdPlaces = {
  passwd: '/etc/passwd',
  group: '/etc/group',
  // Where systemd keeps a file per id that a service with DynamicUser=yes has now; its range holds our ids.
  dynamic: '/run/systemd/dynamic-uid',
}

/**
 * Whose an id is, as a user, a group or a user's own group, or undefined when it is nobody's.
 *
 * Read from the local files, never through NSS: a directory server must not choose whom we take for nobody.
 */
export function ownerOfId(id: number, places: IdPlaces = systemPlaces): string | undefined {
  const user = readTable(places.passwd).find(
    (fields) => Number(fields[2]) === id || Number(fields[3]) === id,
  )
  const group = readTable(places.group).find((fields) => Number(fields[2]) === id)
  const name = user?.[0] ?? group?.[0]
  if (name !== undefined) return JSON.stringify(name)
  return existsSync(`${places.dynamic}/${id}`) ? 'a service with DynamicUser=yes' : undefined
}

/** The lines of an account file, as fields. */
export function readTable(path: string): readonly (readonly string[])[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
}
