/* launcher.h: what the launcher's files share. Start reading at main.c, which opens with the numbered MUSTs. */
#ifndef BELLADONNA_LAUNCHER_H
#define BELLADONNA_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "../wire.h"

#define MAX_SLOTS 128u  /* connections and runs together: one request a connection */
#define MAX_PER_UID 32u /* of them, one uid's */
#define MAX_TICKET 256u
#define MAX_REFUSAL 4096u
#define REQUEST_DEADLINE_MS 2000u /* from accept to a whole request frame */
#define ANSWER_DEADLINE_MS 40000u /* from SUBMIT to OPEN or REFUSE; a service that takes longer hangs */
#define HANGUP_GRACE_MS 5000u     /* between SIGHUP and cgroup.kill once a client is gone (DESIGN.md section 5) */

/* ---- cursor.c: bounded reading of bytes that somebody else wrote ---- */

/* `bad` is set by the first read past the end and stays; every value read after that is 0. */
struct cursor {
  const uint8_t *at;
  const uint8_t *end;
  bool bad;
};

const uint8_t *take(struct cursor *c, size_t size);
uint8_t take_u8(struct cursor *c);
uint16_t take_u16(struct cursor *c);
uint32_t take_u32(struct cursor *c);
uint64_t take_u64(struct cursor *c);
/* Copies `size` bytes and a NUL into `out`; bad if they do not fit or hold a NUL themselves. */
void take_text(struct cursor *c, size_t size, char *out, size_t capacity);

/* ---- channel.c: frames to and from the two services ---- */

#define CHANNEL_IN (WIRE_MAX_FRAME + sizeof(struct wire_head))
#define CHANNEL_OUT (4u * 1024u * 1024u)

struct channel {
  int fd; /* -1: closed */
  size_t in_size;
  size_t out_from, out_size;
  uint8_t in[CHANNEL_IN];
  uint8_t out[CHANNEL_OUT]; /* untouched pages cost nothing; a service that lets it fill is taken for dead */
};

struct part {
  const void *bytes;
  size_t size;
};

/* false: the channel is broken or its reader hangs; the caller ends both services. */
bool channel_send(struct channel *channel, uint16_t kind, const struct part *parts, size_t count);
bool channel_flush(struct channel *channel);
/* Calls `handle` for each whole frame. false: end of file, an oversized frame, or a frame that `handle` refused. */
bool channel_receive(struct channel *channel, bool (*handle)(uint16_t kind, struct cursor *body));

/* ---- host.c: what this kernel and this host have ---- */

struct host {
  uint32_t features; /* enum wire_feature */
  bool privileged;   /* effective uid 0 */
  uid_t uid;         /* ours: the only one there is in unprivileged mode */
  gid_t gid;
  int cgroup;                             /* our own cgroup v2 directory, or -1 */
  int null;                               /* /dev/null, to read */
  int network;                            /* an empty network namespace that runs may share, or -1 */
  int landlock;                           /* a ruleset with both scopes, or -1 */
  uint64_t landlock_scope;                /* which LANDLOCK_SCOPE_* bits `landlock` holds */
  uint64_t user_namespace, pid_namespace; /* inode numbers of our own */
  struct rlimit limits[RLIM_NLIMITS];     /* ours, which a child begins with */
};

extern struct host host;
void host_detect(const char *cgroup); /* where our own cgroup is to be; empty: nowhere */
void host_release(void);              /* removes our cgroups */
uint64_t now_ms(void);                /* CLOCK_MONOTONIC */
uint64_t now_us(void);
_Noreturn void die(const char *what); /* prints `what` and errno, exit 1; only before the loop runs */
void note(const char *text);          /* one line on stderr */
int write_text(int directory, const char *path, const char *text);

/* ---- mounts.c ---- */

/* A namespace with the root of this plan, ready but for what each run has for itself; -1: build it from the plan. */
int template_for(struct cursor rest, const struct wire_plan *plan);
void templates_drop(void); /* the host's mounts have changed */

/* ---- the child, between clone and exec: sandbox.c, mounts.c, identity.c, first-process.c ---- */

/* Descriptors of a child. Ours are all above these: `clean_start` keeps the places taken. */
enum place { GATE = 3, EXECUTABLE = 4, PLACES = 6 };

/* Everything a child needs. Descriptors are the parent's copies; -1 = not there. */
struct start {
  struct cursor plan, command;
  int stdio[3];
  int template;
  int gate; /* a run: a byte opens it, struct report comes back */
  bool service;
  int bootstrap;   /* a service: where its channels and the exec listener go */
  int inherit;     /* a service: a descriptor that the parent made: the broker's listener, the executor's peer */
  bool makes_peer; /* a service: makes the channel between broker and executor */
};

/* The end of a run, from its first process. */
struct report {
  uint32_t kind; /* enum wire_end */
  uint32_t value;
  uint32_t stage;
  uint64_t user_us, system_us, max_rss_kib;
};

#define MAX_ARGUMENTS 1024u

/* What the child's files share. */
struct child {
  int gate; /* GATE once it is there */
  struct wire_command command;
  char *argv[MAX_ARGUMENTS + 1], *envp[MAX_ARGUMENTS + 1];
};

extern struct child child;
_Noreturn void sandbox_enter(struct start *start, const struct wire_plan *plan);
/* Reads the fixed part. false: not a plan of this version. */
bool plan_head(struct cursor *c, struct wire_plan *plan);
bool may_share_network(const struct wire_plan *plan);

/* All of these end the process with a report on failure. */
_Noreturn void child_fail(uint32_t stage);
void child_mounts(struct cursor *c, const struct wire_plan *plan, int template);
void child_limits(struct cursor *c, const struct wire_plan *plan);
void child_identity(const struct wire_plan *plan, const struct wire_command *command, const gid_t *groups);
int child_seccomp(struct cursor *c, const struct wire_plan *plan); /* the exec listener, or -1 */
void child_user_namespace(const struct wire_command *command);
void same_file(int fd); /* is the one that the executor hashed */
void set_signals(int how);
_Noreturn void run_command(int executable);

/* ---- run.c: slots, from a request to its end ---- */

enum slot_state {
  SLOT_FREE = 0,
  SLOT_READING,   /* accepted; the request frame is not whole */
  SLOT_SUBMITTED, /* both services have it */
  SLOT_PREPARED,  /* sandbox built, waiting at the gate */
  SLOT_RUNNING,   /* gate open */
  SLOT_ENDED,     /* client told; waiting for the last process to be gone */
};

struct slot {
  enum slot_state state;
  uint32_t generation; /* rises when the slot is freed: an event of one epoll_wait may be for who had it before */
  int client;          /* -1: gone */
  int stdio[3];
  int pidfd, gate, cgroup; /* -1: none */
  pid_t pid;
  uint64_t run;
  uint64_t deadline_ms; /* CLOCK_MONOTONIC; 0 = none. READING: request; RUNNING: time limit or hang-up */
  uint64_t opened_us;
  uint32_t time_limit_ms;
  bool timed_out, client_gone, failed;
  uint32_t features; /* enum wire_feature: in force once the command starts */
  struct report last;
  struct wire_submit subject;
  uint32_t groups[WIRE_MAX_GROUPS];
  uint16_t ticket_size;
  uint8_t ticket[MAX_TICKET];
  size_t request_size;
  uint8_t request[WIRE_MAX_REQUEST];
};

extern struct slot slots[MAX_SLOTS];
extern uint64_t next_run;                /* rises with each request, never used twice */
extern const char problem_unavailable[]; /* an RFC 9457 problem, as JSON */
/* clone3 into the sandbox of `plan`. Returns the child's pid, or -1 with errno. */
pid_t launch(struct start *start, const struct wire_plan *plan, int cgroup, int *pidfd);
bool run_prepare(struct cursor *body); /* WIRE_PREPARE */
bool run_open(struct cursor *body);    /* WIRE_OPEN */
bool run_refuse(struct cursor *body);  /* WIRE_REFUSE */
void run_signal(struct slot *slot, uint32_t signal);
void run_reported(struct slot *slot);
void run_exited(struct slot *slot);
void run_client_gone(struct slot *slot);
void run_expired(struct slot *slot);
void run_lose_all(void); /* a service died, or we are told to stop */
void slot_release(struct slot *slot);
uint32_t slot_tag(const struct slot *slot);
struct slot *slot_tagged(uint32_t tag); /* NULL: that slot's run or client is over */
void refuse_client(struct slot *slot, uint32_t status, const char *problem);

/* ---- door.c: the socket, and who is at it ---- */

void door_open(const char *path);
void door_listen(void); /* clients are let in */
void door_accept(bool available);
void door_read(struct slot *slot);
void door_close(void);
int listen_at(const char *path, mode_t mode); /* bound, not yet listening */

/* ---- service.c: broker and executor ---- */

enum service_name { EXECUTOR = 0, BROKER = 1 };
struct service {
  pid_t pid;
  int pidfd; /* -1: not running */
  bool ready;
  struct channel channel;
};

extern struct service services[2];
void services_describe(enum service_name name, struct cursor plan, struct cursor command);
bool services_start(int bridge_listener);
void services_stop(bool orderly); /* SIGTERM and some seconds, or SIGKILL; and reap */
bool services_ready(void);

/* ---- main.c ---- */

enum watch {
  WATCH_SIGNALS,
  WATCH_DOOR,
  WATCH_CHANNEL,
  WATCH_SERVICE,
  WATCH_CLIENT,
  WATCH_GATE,
  WATCH_PROCESS,
  WATCH_MOUNTS
};
void watch(int fd, enum watch kind, uint32_t index, uint32_t events);
void services_failed(const char *why);
bool services_send(uint16_t kind, const struct part *parts, size_t count); /* the same bytes to both */

#endif
