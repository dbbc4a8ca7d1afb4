/*
 * sandbox.h: what the files of a child share, from clone to exec. sandbox.c has the order of the steps. Everything in
 * this folder runs in a process that was cloned for one run (or one service), and ends in exec or in its end.
 */
#ifndef BELLADONNA_SANDBOX_H
#define BELLADONNA_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "../frame/frame.h"
#include "../plan.h"
#include "kernel.h"

/* ---- what this kernel and this host have; found out by the launcher (host.c) ---- */

/*
 * Descriptors that every child has at the same number. Those from NULL_DEVICE on are the launcher's own and permanent;
 * it keeps all of these numbers taken, so that its other descriptors are above them (`clean_start`).
 */
enum place {
  GATE = 3,       /* a run: a byte opens it, struct wire_exited comes back; a service: its channels go up by it */
  EXECUTABLE = 4, /* a run, last */
  INHERIT = 8,    /* a service: what the parent made, the broker's listener or the executor's peer */
  NULL_DEVICE = 9,
  NETWORK = 10, /* an empty network namespace that runs may share */
  CGROUP = 11,  /* our own cgroup v2 directory, and those of v1 */
  PIDS = 12,
  MEMORY = 13,
  PLACES = 14
};

struct host {
  uint32_t features; /* enum wire_feature */
  bool privileged;   /* effective uid 0 */
  uid_t uid;         /* ours: the only one there is in unprivileged mode */
  gid_t gid;
  bool has_network, has_cgroup, has_v1;   /* the places above are what they say */
  bool adjusted;                          /* our oom_score_adj is another than 0 */
  struct landlock_ruleset landlock;       /* what this kernel knows of; all 0: no Landlock */
  uint64_t user_namespace, pid_namespace; /* inode numbers of our own */
  uint64_t kept;                          /* capabilities that some profile of the policy keeps */
  struct rlimit limits[RLIM_NLIMITS];     /* ours, which a child begins with */
};

extern struct host host;

/* ---- what is started ---- */

#define STDIO (3 + (int)WIRE_MAX_INPUTS)

/* What a child is to be. Descriptors are the parent's copies; -1 = not there. */
struct start {
  struct cursor plan, command;
  int stdio[STDIO]; /* then the inputs */
  uint32_t input_count;
  bool binds; /* something of the host is there for this run alone, so only a plain spare will do */
  int template;
  int keys;            /* of a run with a terminal of its own: where its master goes; -1: it has none */
  bool service, relay; /* a relay is a service whose only channel is its gate */
  bool makes_peer;     /* a service: makes the channel between broker and executor */
};

#define MAX_ARGUMENTS 1024u
#define MAX_BINDS 17u

/* What the child's files share. */
struct child {
  bool reports; /* over GATE */
  bool service; /* says on stderr why it cannot start */
  struct wire_command command;
  struct wire_stamp stamp; /* of the executable */
  struct cursor binds;
  struct bound {
    int fd; /* in the new root; -1: it needs no rule */
    uint64_t access;
  } bound[MAX_BINDS];
  int proc;        /* made ahead by a spare; -1: not there */
  int ruleset;     /* Landlock's, with what the plan says; -1: none */
  size_t shaped;   /* steps 2 and 3, and the rules, were done ahead: bytes of the plan's rest that are done; 0: not */
  int shown, keys; /* the client's terminal, and where the master of the run's own goes; -1: it gets none */
  int terminal;    /* the run's own; -1: there is none, yet */
  bool foreground; /* the command begins as the one that what is typed is for */
  char *argv[MAX_ARGUMENTS + 1], *envp[MAX_ARGUMENTS + 1];
};

extern struct child child;
/* First of all: its own session, signals blocked, no descriptor but the places. `inherit`: -1, there is none. */
void child_begin(int gate, int inherit);
void take_stdio(struct start *start, const struct wire_plan *plan);
/* Steps 1 to 10 of a service. */
_Noreturn void service_begin(struct start *start, const struct wire_plan *plan, int gate, int inherit);
_Noreturn void sandbox_enter(struct start *start, const struct wire_plan *plan);
/* Of that what depends on the plan alone. */
void sandbox_shape(struct start *start, const struct wire_plan *plan);
/* Reads the fixed part. false: not a plan of this version. */
bool plan_head(struct cursor *c, struct wire_plan *plan);
bool may_share_network(const struct wire_plan *plan);

/* All of these end the process with a report on failure. */
_Noreturn void child_fail(uint32_t stage);
_Noreturn void child_refuse(uint32_t stage, int error); /* EBADMSG: what came from the executor cannot be read */
int child_proc(void);                                   /* a proc of this pid namespace, mounted nowhere yet */
void child_mounts(struct cursor *c, const struct wire_plan *plan, int template);
void child_limits(struct cursor *c, const struct wire_plan *plan);
void child_bounding(uint64_t kept); /* nothing but these is left in the bounding set */
void child_identity(const struct wire_plan *plan, const struct wire_command *command, const gid_t *groups);
int child_seccomp(struct cursor *c, const struct wire_plan *plan); /* the exec listener, or -1 */
void child_user_namespace(const struct wire_command *command);
/* Is the one that the executor looked at; of a live one only device and inode count. */
void same_file(int fd, const struct wire_stamp *stamp);
void same_stat(const struct stat *st, const struct wire_stamp *stamp, bool live);
void set_signals(int how);
bool schedule_shortly(void); /* false: a raised priority could not be given up */
_Noreturn void run_command(int executable);

/* ---- inherited.c ---- */

bool forget_starter(void);
bool join_keyring(void); /* false: the kernel has none, or does not let us */

/* ---- terminal.c ---- */

void terminal_open(int master);
void terminal_tell(int stopped);
void terminal_give(pid_t command);
bool terminal_join(void); /* the command's session, or its process group in ours */

/* ---- spare.c ---- */

#define RUN_NAMESPACES (WIRE_NS_PID | WIRE_NS_IPC | WIRE_NS_UTS | WIRE_NS_CGROUP)

/* Takes the body of WIRE_PREPARE apart, and leaves in `body` that of the proxy. false: it is none. */
bool take_prepare(struct cursor *body, struct wire_prepare *frame, struct start *start, struct wire_plan *plan);
/* A spare: until there is something to run. End of file: the launcher is gone, or has no use for it. */
_Noreturn void wait_for_start(int gate);

/* ---- mounts.c ---- */

/* An entry of a plan: op, flags, mode, source, target. */
struct entry {
  uint8_t op, flags;
  uint16_t mode;
  char source[4096], target[4096];
};

void binds_in_place(void);                              /* what this run alone sees is still at its place */
bool take_entry(struct cursor *c, struct entry *entry); /* false: not one */
bool is_of_new_proc(const struct entry *entry);         /* its source is in the run's own /proc */
/* Builds what no run changes, says so over `channel`, and waits to be let go. */
_Noreturn void child_template(struct cursor mounts, const struct wire_plan *plan, int channel);

#endif
