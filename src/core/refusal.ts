/**
 * Why a request was not run. Closed; each code has a row in docs/reference/errors.md with its exit status.
 */
export type RefusalCode =
  | 'request_malformed'
  | 'subject_unmapped' // uid 65534 or -1
  | 'subject_foreign_namespace'
  | 'action_unknown'
  | 'not_granted'
  | 'grant_expired'
  | 'grant_used_up'
  | 'rate_limited'
  | 'parameter_missing'
  | 'parameter_unknown'
  | 'parameter_duplicate'
  | 'parameter_invalid'
  | 'reason_required'
  | 'approval_required' // decision `ask`; approvals come later, so it is a refusal
  | 'nonce_unsupported'
  | 'stdio_not_accepted' // the launcher's: a descriptor that could lead out of the sandbox
  | 'input_mismatch' // descriptors and `secret` parameters do not belong together
  | 'input_too_large' // a secret or a bound stdin
  | 'stdin_unbound' // the action binds its stdin, and it came as something that can still change
  | 'executable_unsafe' // not root's, writable by others and not pinned, or gone
  | 'path_refused' // what a parameter names is not there, a link, or not of its kind
  | 'disagreement' // broker and executor did not come to the same resolved action
  | 'not_recorded' // it does not fit into an entry
  | 'log_full' // the disk of the log or the receipts is full; what runs may still end
  | 'busy' // a bound of promise 7
  | 'unavailable' // a process of the bridge is away

/**
 * RFC 9457 problem details as the client sees them. Text by the requester appears in no member, but for a value that the
 * policy takes, quoted in a path of `detail`.
 */
export type Problem = Readonly<{
  type: string
  title: string
  code: RefusalCode
  /** Which key of the policy refused: of `grant`, `action` or `profile`. Never which grant: that is the log's to say. */
  rule?: string
  /** The action's id, when it is one that the policy names. */
  action?: string
  /** The parameter at fault, when it is one that the policy names. */
  parameter?: string
  /** Which file was refused and why, where the client could have found that out. */
  detail?: string
  /** What would be enough, in our words. */
  enough?: string
  /** Whom or how to ask, where no other request would do. */
  ask?: string
  /** Index of the denial's entry in the log, when it was recorded. */
  entry?: number
}>
