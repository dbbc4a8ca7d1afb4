/**
 * Codes a caller may branch on. Each has a row in docs/reference/errors.md (a test compares them).
 * Refusals of a request have their own closed union, `RefusalCode` in `refusal.ts`.
 */
export type ErrorCode =
  | 'input_invalid' // a file, option or message that is not of its form
  | 'usage' // the command line is off
  | 'policy_invalid' // the policy has errors; `problems` lists them with file, line, column
  | 'policy_unreadable' // a policy file cannot be opened, or others may write it
  | 'frame_invalid' // a frame between our own processes is not of its form, or out of turn
  | 'path_unsafe' // a component of a path is a link, or others may write it
  | 'path_refused' // what a parameter names is not there, a link, or not of its kind
  | 'log_corrupt' // the log, receipts or checkpoint contradict each other
  | 'log_failed' // a write or fdatasync failed: nothing more is permitted
  | 'state_invalid' // what the executor keeps is missing, changed, or another machine's
  | 'host_unsupported' // this kernel or machine lacks what is required
  | 'start_failed' // a process of the bridge did not come up
  | 'daemon_away' // nobody answers at the socket
  | 'output_failed' // what a command has to say cannot be written

/** The one error class we throw on purpose. `message` is for the operator, never for the caller of an action. */
export class BelladonnaError extends Error {
  override readonly name = 'BelladonnaError'
  readonly code: ErrorCode

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
