/* launcher.h: what the launcher's files share. Start reading at main.c, which opens with the numbered MUSTs. */
#ifndef BELLADONNA_LAUNCHER_H
#define BELLADONNA_LAUNCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include "../sandbox/sandbox.h"

#define MAX_SLOTS 128u /* connections and runs together: one request a connection */
#define FEW_PLACES 8u  /* from here on silent connections make room */
#define MAX_SPARES 4u
#define MAX_TICKET 256u
#define MAX_REFUSAL 4096u
#define REQUEST_DEADLINE_MS 2000u /* from accept to a whole request frame */
#define ANSWER_DEADLINE_MS 40000u /* from SUBMIT to OPEN or REFUSE; a service that takes longer hangs */
#define PROXY_DEADLINE_MS 5000u   /* from OPEN to a proxy that can be used */
#define HANGUP_GRACE_MS 5000u     /* between SIGHUP and cgroup.kill once a client is gone (DESIGN.md section 5) */

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

void host_detect(void);
uint32_t features_of(const struct wire_plan *plan); /* enum wire_feature: in force for its runs */
uint64_t inode_of(const char *path);                /* 0: it cannot be told */
uint64_t now_ms(void);                              /* CLOCK_MONOTONIC */
uint64_t now_us(void);
uint64_t wall_ms(void);                  /* CLOCK_REALTIME */
_Noreturn void die(const char *what);    /* prints `what` and errno, exit 1; only before the loop runs */
void note(const char *text);             /* one line on stderr */
void tell_supervisor(const char *words); /* as sd_notify(3) */

struct supervisor {
  uint16_t size; /* 0: there is none */
  const void *address;
};

extern struct supervisor supervisor;

/* ---- template.c ---- */

struct template {
  int fd;          /* the mount namespace; -1: there is none, and each run builds for itself */
  uint32_t serial; /* another one whenever it is made; 0: dropped */
  uint64_t sources;
  size_t size; /* 0: free */
  uint8_t plan[16384];
};

/* A namespace with the root of the plan whose head was read, ready but for what each run has for itself. NULL: build it
 * from the plan. */
const struct template *template_for(struct cursor rest, const struct wire_plan *plan);
_Noreturn void template_begin(struct cursor plan, int gate);
void templates_drop(void); /* the host's mounts have changed; spares that were shaped go too */

/* ---- cgroup.c ---- */

#define SEATS (MAX_SLOTS + MAX_SPARES)

struct group {
  int fd; /* the run's directory in v2; -1: none */
  uint32_t serial;
  int seat;           /* its directories in v1; -1: none */
  uint64_t counts[2]; /* what stood there before this run */
};

/* A process of ours, as its parent has it; -1: none. */
struct process {
  pid_t pid;
  int pidfd, gate;
  struct group group;
  uint32_t shape; /* a spare that has built the root of the template with this serial; 0: none yet */
};

struct seat {
  bool taken;
  struct process process; /* in no group: the seat is its runs' */
};

#define NURSERY ((int)SEATS) /* the last of them, in no cgroup of its own: spawn.c */
extern struct seat seats[SEATS + 1];

/* Where our own are to be; empty: nowhere. `inside`: right below the one that we are in. */
void cgroups_open(bool inside, const char *unified, const char *pids, const char *memory);
void cgroups_close(void);
bool group_make(struct group *group);
bool seat_join(int seat); /* in the seat's process */
bool group_limit(struct group *group, const struct wire_plan *plan);
uint16_t group_hits(const struct group *group); /* enum wire_limit */
void group_kill(const struct group *group);
void group_remove(struct group *group);

/* ---- spawn.c ---- */

/* `namespaces`: those of enum wire_namespace that a clone makes; `flags`: CLONE_PARENT and the like. */
pid_t clone_child(uint32_t namespaces, uint64_t flags, int cgroup, int *pidfd);
extern const struct process no_process;
enum { A_RUN = 4, A_SEAT = 5, A_TEMPLATE = 6 }; /* behind enum service_name */
bool nursery_open(void);
bool try_namespaces(void); /* those of a run */
/* Closes descriptors that a client passed, in a process that shares ours and that a client may keep waiting. -1: it is
 * done; else the descriptor of that process. */
int close_elsewhere(const int *fds, size_t count);
/* A child of that kind with its gate, `second` (-1: none) and `rest`. false: errno says why, and nothing is left.
 */
bool child_start(struct process *process, uint32_t what, int second, struct cursor rest);
/* Hands `body`, that of WIRE_PREPARE, to a process, with the descriptors of `start`. false: errno says why not.
 * `shape`: the template that a spare may have built already, or NULL. */
bool process_start(struct process *process, struct cursor body, const struct start *start,
                   const struct template *shape);
void process_discard(struct process *process); /* kills it, waits for that, and leaves nothing; none is fine */
void spares_refill(void);                      /* by one */
void spares_reshape(void);                     /* templates were dropped */
void spares_drop(void);                        /* and the seats: what a run may keep has changed */
void spares_release(void);                     /* and all that clones */

/* ---- run.c: slots, from a request to its end ---- */

enum slot_state {
  SLOT_FREE = 0,
  SLOT_READING,   /* accepted; the request frame is not whole */
  SLOT_SUBMITTED, /* both services have it */
  SLOT_PREPARED,  /* sandbox built, waiting at the gate */
  SLOT_OPENING,   /* OPEN has come, and waits for the proxy */
  SLOT_RUNNING,   /* gate open */
  SLOT_ENDED,     /* client told; waiting for the last process to be gone */
};

struct slot {
  enum slot_state state;
  uint32_t generation; /* rises when the slot is freed: an event of one epoll_wait may be for who had it before */
  int client;          /* -1: gone */
  int stdio[STDIO];    /* then the inputs */
  int odd[MAX_DESCRIPTORS + STDIO], odd_count; /* that came where none should */
  int terminal;                                /* of 0 to 2, one that is a terminal; -1: none is */
  int keys; /* what is typed at the run's own terminal goes in here; the client's, once it has one */
  struct process process, relay, proxy;
  int word;     /* the proxy's: a byte once it can be used, and its end; -1: there is none */
  uint32_t end; /* enum wire_end: the command has ended so, and its relay has not; else 0 */
  bool hurried; /* the relay was told that the time is over */
  size_t output_size;
  struct wire_output output; /* the relay's word, unread */
  uint64_t run;
  uint64_t deadline_ms; /* CLOCK_MONOTONIC; 0 = none. READING: request; RUNNING: time limit or hang-up */
  uint64_t opened_us;
  uint32_t time_limit_ms;
  bool timed_out, client_gone, failed, detached; /* the last: it goes on without its client */
  bool awaits_proxy, awaits_recording;
  uint32_t features;       /* enum wire_feature: in force once the command starts */
  struct wire_exited last; /* how it ended: what its first process knows of that, then the rest */
  struct wire_submit subject;
  uint32_t groups[WIRE_MAX_GROUPS];
  char cgroups[WIRE_MAX_CGROUPS];
  uint16_t ticket_size;
  uint8_t ticket[MAX_TICKET];
  size_t request_size;
  uint8_t request[WIRE_MAX_REQUEST];
};

extern struct slot slots[MAX_SLOTS];
extern uint64_t next_run;                /* rises with each request, never used twice */
extern const char problem_unavailable[]; /* an RFC 9457 problem, as JSON */
bool run_prepare(struct cursor *body);   /* WIRE_PREPARE */
bool run_open(struct cursor *body);      /* WIRE_OPEN */
bool run_read(struct cursor *body);      /* WIRE_READ */
bool run_refuse(struct cursor *body);    /* WIRE_REFUSE */
void run_signal(struct slot *slot, uint32_t signal);
void run_reported(struct slot *slot);
void run_exited(struct slot *slot);
void run_relayed(struct slot *slot);
void run_proxied(struct slot *slot);
void run_client_gone(struct slot *slot);
void run_expired(struct slot *slot);
void run_lose_all(void); /* a service died, or we are told to stop */

/* ---- slot.c: what a slot holds, and how it lets go of it ---- */

void slot_begin(struct slot *slot, int client); /* nothing of who had it before is left in it */
bool may_wait(const struct slot *slot, int i);  /* whether to close this one of a client's descriptors can take long */
void drop_client(struct slot *slot);
/* The one answer of a connection. */
void answer_client(struct slot *slot, uint16_t kind, const struct part *parts, size_t count);
void slot_release(struct slot *slot); /* and wait for who still has to end or to be closed */
void slot_await(struct slot *slot);
uint32_t slot_tag(const struct slot *slot);
struct slot *slot_tagged(uint32_t tag); /* NULL: that slot's run or client is over */
void refuse_client(struct slot *slot, uint32_t status, const char *problem);

/* ---- door.c: the socket, and who is at it ---- */

extern uint32_t max_per_uid;      /* of MAX_SLOTS, one uid's */
void door_open(const char *path); /* which stays where it is */
bool door_listen(void);           /* clients are let in */
void door_accept(bool available);
void door_read(struct slot *slot);
void door_close(void);
/* Memory that nobody can change any more: a reader never waits, and the command reads what the executor has read. */
bool is_sealed(int fd);
int listen_at(const char *path, mode_t mode); /* bound, not yet listening */

/* ---- service.c: broker and executor ---- */

enum service_name { EXECUTOR = 0, BROKER = 1, RELAY = 2, RECORDER = 3 }; /* the last: a relay that also records */
struct service {
  struct process process; /* its gate is not used any more once it has started */
  bool ready;
  struct channel channel;
};

extern struct service services[2];
void services_describe(enum service_name name, struct cursor plan, struct cursor command);
bool services_start(int bridge_listener);
uint32_t service_namespaces(uint32_t name); /* of one that is none: none */
_Noreturn void service_child(enum service_name name, int gate, int inherit);
void services_stop(bool orderly); /* SIGTERM and some seconds, or SIGKILL; and reap */
bool services_ready(void);
/* A run's relay. `ends`: the run's stdout, stderr and socket for a terminal, each with its other end. */
bool relay_start(struct slot *slot, const struct wire_plan *plan, const int *ends);

/* ---- main.c ---- */

enum watch {
  WATCH_SIGNALS,
  WATCH_DOOR,
  WATCH_CHANNEL,
  WATCH_SERVICE,
  WATCH_CLIENT,
  WATCH_GATE,
  WATCH_PROCESS,
  WATCH_RELAY,
  WATCH_PROXY,
  WATCH_MOUNTS
};
/* false: errno says why, and it is not heard of. */
bool watch(int fd, enum watch kind, uint32_t index, uint32_t events);
/* Before a pidfd is closed: who cloned the process may not have closed its copy yet, and we would go on hearing of it.
 */
void unwatch(int fd);
void services_failed(const char *why);
void services_send(uint16_t kind, const struct part *parts, size_t count); /* the same bytes to both */
void service_send(uint32_t name, uint16_t kind, const struct part *parts, size_t count);

#endif
