/**
 * The classes of bugs that hit sudo, doas, polkit, bubblewrap, runc, Node and others, and what stands against each here.
 *
 * A test bears an id (`C12: …`) when it checks the outcome that the class is about. `tools/abuse-page.ts` makes
 * docs/reference/abuse.md out of this table and of the tests, and fails when the two do not agree.
 */

/** Why there is no test: nothing could be there to test, or the part is not built yet. */
export type AbuseState =
  | Readonly<{ kind: 'tested' }>
  | Readonly<{ kind: 'construction'; why: string; at: string }>
  | Readonly<{ kind: 'not yet'; what: string; issue: number }>

export type AbuseClass = Readonly<{ id: string; name: string; state: AbuseState }>
export type AbuseGroup = Readonly<{ name: string; classes: readonly AbuseClass[] }>

function tested(id: string, name: string): AbuseClass {
  return { id, name, state: { kind: 'tested' } }
}

/** @param at the file, relative to the root, where a reader can see that it is so */
function impossible(id: string, name: string, why: string, at: string): AbuseClass {
  return { id, name, state: { kind: 'construction', why, at } }
}

function notYet(id: string, name: string, what: string, issue: number): AbuseClass {
  return { id, name, state: { kind: 'not yet', what, issue } }
}

export const abuseGroups: readonly AbuseGroup[] = [
  {
    name: 'Parsing, matching, identity',
    classes: [
      tested('C01', 'arguments are joined, escaped and taken apart again'),
      tested('C02', 'a program is started with an empty argv'),
      tested('C03', 'the caller chooses argv[0]'),
      tested('C04', 'a user id of -1, or in an odd spelling'),
      tested('C05', 'a user or group that does not exist'),
      tested('C06', 'a rule that was written for another host'),
      tested('C07', 'files or libraries are looked up where the caller says'),
      tested('C08', 'more operands than the rule has, behind a `--`'),
      tested('C09', 'an option where a value is expected'),
      tested('C10', 'a wildcard that spans several arguments'),
      tested('C11', 'a negative rule that is passed by; order that decides'),
      tested('C12', 'a program is replaced between check and exec'),
      tested('C13', 'NUL, control, invisible or overlong characters in a value'),
      tested('C14', 'a name from outside becomes part of a path'),
      tested('C15', 'the rest of a broken policy stays in force'),
      tested('C16', 'a lookup that is built from the request'),
      tested('C17', 'a word of the policy that is not understood is ignored'),
    ],
  },
  {
    name: 'Environment, terminal, descriptors, identity of processes',
    classes: [
      tested('C20', 'the caller’s environment reaches the command'),
      tested('C21', 'a value of a variable that means more than it says'),
      tested('C22', 'input is pushed into the terminal of whoever asked'),
      tested('C23', 'open descriptors are inherited'),
      tested('C24', 'a working directory or descriptor path outside of the sandbox'),
      tested('C25', 'the helper’s own executable is opened for writing'),
      tested('C26', 'a process id that somebody else has by now'),
      tested('C27', 'a failed lookup is taken for root'),
      tested('C28', 'descriptors are passed by the hundred'),
      tested('C29', 'a connection is handed on to another user'),
      tested('C30', 'limits, umask, signals and priority of the caller'),
      tested('C31', 'set-user-id helpers'),
      tested('C32', 'the source of a mount is replaced by a link'),
      tested('C33', 'the sandbox has fewer walls than it says'),
      tested('C34', 'a directory or device as standard input is a way out'),
      tested('C35', 'the credentials of a socket that was passed on'),
    ],
  },
  {
    name: 'Approvals, tokens, cryptography',
    classes: [
      notYet('C40', 'the message chooses the algorithm', 'approvals', 6),
      notYet('C41', 'signatures that have several forms', 'approvals', 6),
      notYet('C42', 'weak or oddly encoded keys are enrolled', 'approvals', 6),
      notYet('C43', 'a quorum counts signatures instead of people', 'approvals', 6),
      notYet('C44', 'an approval is used twice, or for something else', 'approvals', 6),
      notYet('C45', 'a code is tidied up before it is compared', 'approvals', 6),
      notYet('C46', 'a lockout is passed by another spelling of a name', 'approvals', 6),
      notYet('C47', 'guesses are forgotten at a restart', 'approvals', 6),
      notYet('C48', 'a route that asks for no credentials', 'HTTP', 10),
      tested('C49', 'a signature over one thing passes for another'),
      notYet('C50', 'a clock that jumps', 'approvals', 6),
      notYet('C51', 'a comparison that takes longer the more is right', 'approvals', 6),
      notYet('C52', 'a token session that several share', 'keys in hardware', 5),
    ],
  },
  {
    name: 'The log and its storage',
    classes: [
      tested('C60', 'what was logged steers the terminal that shows it'),
      tested('C61', 'a link in place of a log file'),
      impossible(
        'C62',
        'the log’s path is a way to write elsewhere',
        'paths are fixed below the root, and no request or policy names one',
        'src/host/layout.ts',
      ),
      tested('C63', 'an answer before the record is on disk'),
      tested('C64', 'an fsync that failed is forgotten'),
      tested('C65', 'a write that is torn by a crash'),
      tested('C66', 'a full disk'),
      tested('C67', 'a flipped bit is believed'),
      notYet('C68', 'an older or another log is signed', 'storage', 5),
      tested('C69', 'two daemons on one log'),
      tested('C70', 'what can be read and cannot be written again'),
      notYet('C71', 'rotation loses the keys of what was encrypted', 'encryption', 5),
      notYet('C72', 'a compressed segment that grows without end', 'storage', 5),
    ],
  },
  {
    name: 'Observation and resources',
    classes: [
      notYet('C80', 'more events than the ring holds', 'eBPF', 7),
      notYet('C81', 'arguments are changed after they were seen', 'eBPF', 7),
      tested('C82', 'system calls past the filter, by io_uring'),
      notYet('C83', 'a process under another name', 'eBPF', 7),
      notYet('C84', 'events of another run', 'eBPF', 7),
      notYet('C85', 'a probe that this kernel does not load', 'eBPF', 7),
      tested('C86', 'a fork bomb'),
      tested('C87', 'no descriptors are left'),
      tested('C88', 'clients that send a byte a second'),
      tested('C89', 'output without end'),
      tested('C90', 'processes that outlive their run'),
    ],
  },
  {
    name: 'Node, HTTP, policies from elsewhere, supply',
    classes: [
      tested('C100', 'names like `__proto__` change every object'),
      tested('C101', 'a header named `__proto__` ends the process'),
      tested('C102', 'a request target that is no URL ends the process'),
      tested('C103', 'keys that collide in a hash table'),
      tested('C104', 'a stack that overflows where nothing catches it'),
      tested('C105', 'a key that cannot be decoded ends the process later'),
      impossible(
        'C106',
        'Node’s permission model is taken for a wall',
        'it is not used; the walls are the kernel’s',
        'src/core/sandbox/plan-for-service.ts',
      ),
      tested('C107', 'two readers see two requests in the same bytes'),
      notYet('C108', 'a browser is made to ask', 'HTTP', 10),
      tested('C109', 'a pattern that takes exponential time'),
      notYet('C110', 'links and devices in a bundle', 'signed bundles', 9),
      tested('C111', 'TOML or JSON that is too deep or too large'),
      tested('C112', 'a day that is not in the calendar'),
      notYet('C113', 'an older policy is put in place of a newer one', 'signed bundles', 9),
      notYet('C114', 'a request makes the daemon connect somewhere', 'sync', 9),
      tested('C115', 'other people’s packages'),
    ],
  },
]
