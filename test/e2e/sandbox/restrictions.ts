/**
 * Each restriction of a run: what is tried, what the sandbox answers, and what it answers without that one restriction.
 *
 * Where several walls stand one behind the other (a read-only mount, and Landlock behind it) a row takes the others away on
 * both sides, by `behind` and `behindEdits`, so that what differs is the restriction alone.
 */
import { amounts, given, habits } from './rows/given.ts'
import { files } from './rows/files.ts'
import { landlock, namespaces } from './rows/namespaces.ts'
import { privileges } from './rows/privileges.ts'
import type { Row } from './rows/row.ts'
import { byArgument, byEntry, byNumber } from './rows/system-calls.ts'

export const restrictions: readonly Row[] = [
  ...namespaces,
  ...files,
  ...privileges,
  ...landlock,
  ...given,
  ...habits,
  ...amounts,
  ...byNumber,
  ...byArgument,
  ...byEntry,
]
