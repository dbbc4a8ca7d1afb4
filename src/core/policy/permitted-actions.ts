import type { Subject } from '../identity.ts'
import { findGrant, isLive, isUsableId } from './grant-table.ts'
import type { IndexedAction, PolicyIndex } from './policy-index.ts'

/** An action, and the grant of it that counts. */
export type PermittedAction = Readonly<{ entry: IndexedAction; grant: string }>

/** The actions that some live grant gives the subject, by id. Whether a grant is exhausted does not count. */
export function permittedActions(
  index: PolicyIndex,
  subject: Subject,
  nowMs: number,
): readonly PermittedAction[] {
  if (!isUsableId(subject.uid)) return []
  return [...index.actions.values()].flatMap((entry) => {
    const grant = findGrant(subject.foreign ? entry.foreign : entry.own, subject, nowMs)
    return grant === undefined || !isLive(grant, nowMs) ? [] : [{ entry, grant: grant.id }]
  })
}
