/*
 * run.c: what becomes of a request. A slot goes through the states of `enum slot_state` in their order and no other:
 *
 *   frame        from      states that take it          effect
 *   PREPARE      executor  SUBMITTED                    sandbox is built and waits at the gate -> PREPARED
 *   OPEN         executor  PREPARED                     gate opens -> RUNNING; or the end is told -> ENDED
 *   REFUSE       broker    SUBMITTED, PREPARED          what was prepared is killed, the client is told -> ENDED
 *   SIGNAL       client    RUNNING; before: gives up    passed to the command
 *
 * A frame for a run that is over is stale, not hostile: both services work at the same time. Any other frame out of
 * its state ends both services. Why that is safe even if a service lies: only PREPARE and OPEN start anything, and
 * only the executor's channel has them; a REFUSE can only stop a run that has not begun.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

struct slot slots[MAX_SLOTS];
uint64_t next_run = 1;

uint32_t slot_tag(const struct slot *slot) { return slot->generation << 8 | (uint32_t)(slot - slots); }

struct slot *slot_tagged(uint32_t tag) {
  struct slot *slot = &slots[tag & 0xff];
  return slot->state != SLOT_FREE && slot_tag(slot) == tag ? slot : NULL;
}

static struct slot *find_run(uint64_t run) {
  for (uint32_t i = 0; i < MAX_SLOTS; i++)
    if (slots[i].state >= SLOT_SUBMITTED && slots[i].run == run) return &slots[i];
  return NULL;
}

static void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* ---- starting ---- */

static uint64_t clone_flags(const struct wire_plan *plan, bool service) {
  uint64_t flags = CLONE_PIDFD;
  if ((plan->namespaces & WIRE_NS_PID) != 0) flags |= CLONE_NEWPID;
  if ((plan->namespaces & WIRE_NS_IPC) != 0) flags |= CLONE_NEWIPC;
  if ((plan->namespaces & WIRE_NS_UTS) != 0) flags |= CLONE_NEWUTS;
  if (!host.privileged && !service) flags |= CLONE_NEWUSER;
  return flags;
}

pid_t launch(struct start *start, const struct wire_plan *plan, int cgroup, int *pidfd) {
  struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
  } arguments = {.flags = clone_flags(plan, start->service), .pidfd = (uintptr_t)pidfd, .exit_signal = SIGCHLD};
  if (cgroup >= 0) {
    arguments.flags |= 0x200000000ull; /* CLONE_INTO_CGROUP, Linux 5.7 */
    arguments.cgroup = (uint64_t)cgroup;
  }
  pid_t pid = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) sandbox_enter(start, plan);
  return pid;
}

/*
 * What is in force for a run of this plan once its command starts: every step of sandbox.c ends the run if it fails, so
 * each that the plan asks for and that the host has was taken (DESIGN.md promise 8).
 */
static uint32_t features_of(const struct wire_plan *plan, bool limited) {
  static const struct {
    uint32_t asked, feature;
  } by_namespace[] = {{WIRE_NS_PID, WIRE_FEATURE_PID_NAMESPACE},
                      {WIRE_NS_MOUNT, WIRE_FEATURE_MOUNT_NAMESPACE | WIRE_FEATURE_ROOT_READ_ONLY},
                      {WIRE_NS_IPC, WIRE_FEATURE_IPC_NAMESPACE},
                      {WIRE_NS_UTS, WIRE_FEATURE_UTS_NAMESPACE},
                      {WIRE_NS_NETWORK, WIRE_FEATURE_NETWORK_NAMESPACE},
                      {WIRE_NS_CGROUP, WIRE_FEATURE_CGROUP_NAMESPACE}};
  uint32_t features = WIRE_FEATURE_CAPABILITIES | WIRE_FEATURE_NO_NEW_PRIVS | WIRE_FEATURE_SECCOMP;
  for (size_t i = 0; i < sizeof by_namespace / sizeof by_namespace[0]; i++)
    if ((plan->namespaces & by_namespace[i].asked) != 0) features |= by_namespace[i].feature;
  if ((plan->flags & WIRE_PLAN_OWN_TMP) != 0) features |= WIRE_FEATURE_PRIVATE_TMP;
  if ((plan->namespaces & WIRE_NS_NETWORK) != 0 && may_share_network(plan))
    features |= WIRE_FEATURE_NETWORK_SHARED_EMPTY;
  if (plan->landlock_scope != 0) features |= host.features & WIRE_FEATURE_LANDLOCK_SCOPE;
  if (plan->rlimit_count > 0) features |= WIRE_FEATURE_RLIMITS;
  if (limited) features |= WIRE_FEATURE_CGROUP_LIMITS;
  return features | (host.features & (WIRE_FEATURE_CGROUP_KILL | WIRE_FEATURE_USER_NAMESPACE));
}

/* The run's own cgroup. Limits go in where this host has the controllers; `limited` says whether it has. */
static int make_cgroup(uint64_t run, const struct wire_plan *plan, bool *limited) {
  char name[32], value[32];
  if (host.cgroup < 0) return -1;
  snprintf(name, sizeof name, "run-%llu", (unsigned long long)run);
  if (mkdirat(host.cgroup, name, 0755) != 0) return -1;
  int fd = openat(host.cgroup, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || (host.features & WIRE_FEATURE_CGROUP_LIMITS) == 0) return fd;
  snprintf(value, sizeof value, "%u", plan->pids_max);
  *limited = plan->pids_max == 0 || write_text(fd, "pids.max", value) == 0;
  snprintf(value, sizeof value, "%llu", (unsigned long long)plan->memory_max);
  if (plan->memory_max != 0 && write_text(fd, "memory.max", value) != 0) *limited = false;
  return fd;
}

static void start_failed(struct slot *slot, uint32_t stage) {
  slot->failed = true;
  slot->last = (struct report){.kind = WIRE_END_FAILED, .value = (uint32_t)errno, .stage = stage};
}

static void prepare(struct slot *slot, struct start *start, const struct wire_plan *plan) {
  int gate[2];
  bool limited = false;
  slot->cgroup = make_cgroup(slot->run, plan, &limited);
  if (host.cgroup >= 0 && slot->cgroup < 0) return start_failed(slot, WIRE_STAGE_CGROUP);
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) != 0) return start_failed(slot, WIRE_STAGE_CAPACITY);
  start->gate = gate[1];
  memcpy(start->stdio, slot->stdio, sizeof start->stdio);
  slot->features = features_of(plan, limited);
  slot->pid = launch(start, plan, slot->cgroup, &slot->pidfd);
  int error = errno;
  close(gate[1]);
  slot->gate = gate[0];
  if (slot->pid < 0) {
    slot->pidfd = -1;
    errno = error;
    return start_failed(slot, WIRE_STAGE_CLONE);
  }
  watch(slot->gate, WATCH_GATE, slot_tag(slot), EPOLLIN);
  watch(slot->pidfd, WATCH_PROCESS, slot_tag(slot), EPOLLIN);
}

bool run_prepare(struct cursor *body) {
  struct wire_prepare frame;
  struct wire_plan plan;
  struct start start = {.bootstrap = -1, .inherit = -1, .template = -1};
  const uint8_t *bytes = take(body, sizeof frame);
  if (bytes == NULL) return false;
  memcpy(&frame, bytes, sizeof frame);
  const uint8_t *plan_bytes = take(body, frame.plan_size), *command_bytes = take(body, frame.command_size);
  if (body->bad || body->at != body->end || frame.run >= next_run) return false;
  start.plan = (struct cursor){.at = plan_bytes, .end = plan_bytes + frame.plan_size};
  start.command = (struct cursor){.at = command_bytes, .end = command_bytes + frame.command_size};
  if (!plan_head(&start.plan, &plan)) return false;

  struct slot *slot = find_run(frame.run);
  if (slot == NULL || slot->state == SLOT_ENDED) return true; /* refused in the meantime */
  if (slot->state != SLOT_SUBMITTED) return false;
  start.template = template_for(start.plan, &plan);
  slot->state = SLOT_PREPARED;
  slot->time_limit_ms = plan.time_limit_ms;
  prepare(slot, &start, &plan);
  for (int i = 0; i < 3; i++) close_fd(&slot->stdio[i]);
  return true;
}

/* ---- ending ---- */

static void kill_run(struct slot *slot) {
  if (slot->pidfd < 0) return;
  if (slot->cgroup >= 0 && write_text(slot->cgroup, "cgroup.kill", "1") == 0) return;
  (void)syscall(SYS_pidfd_send_signal, slot->pidfd, SIGKILL, NULL,
                0); /* the first of its pid namespace takes all along */
}

static void tell_services(uint64_t run, const struct report *end, uint32_t kind, uint32_t features, uint64_t wall_us) {
  struct wire_exited frame = {.run = run,
                              .kind = kind,
                              .value = end->value,
                              .stage = end->stage,
                              .features = features,
                              .user_us = end->user_us,
                              .system_us = end->system_us,
                              .max_rss_kib = end->max_rss_kib,
                              .wall_us = wall_us};
  struct part part = {&frame, sizeof frame};
  if (!services_send(WIRE_EXITED, &part, 1)) services_failed("a service does not take frames");
}

static void tell_client(struct slot *slot, uint32_t kind) {
  uint8_t frame[sizeof(struct wire_head) + sizeof(struct wire_ended) + MAX_TICKET];
  struct wire_ended ended = {
      .kind = kind, .value = slot->last.value, .stage = slot->last.stage, .ticket_size = slot->ticket_size};
  struct wire_head head = {.size = (uint32_t)(sizeof ended + slot->ticket_size), .kind = WIRE_ENDED, .zero = 0};
  memcpy(frame, &head, sizeof head);
  memcpy(frame + sizeof head, &ended, sizeof ended);
  memcpy(frame + sizeof head + sizeof ended, slot->ticket, slot->ticket_size);
  if (slot->client >= 0) (void)send(slot->client, frame, sizeof head + head.size, MSG_NOSIGNAL | MSG_DONTWAIT);
  close_fd(&slot->client);
}

/* The end of a run whose gate was opened. The client hears of it first: nobody waits for our cleaning up. */
static void finish(struct slot *slot, uint32_t kind) {
  uint64_t wall_us = slot->opened_us == 0 ? 0 : now_us() - slot->opened_us;
  if (kind == WIRE_END_TIMED_OUT || kind == WIRE_END_LOST || kind == WIRE_END_GONE) slot->last.value = 0;
  tell_client(slot, kind);
  slot->state = SLOT_ENDED;
  slot->deadline_ms = 0;
  tell_services(slot->run, &slot->last, kind, slot->opened_us == 0 ? 0 : slot->features, wall_us);
  if (kind != WIRE_END_EXITED && kind != WIRE_END_SIGNALLED) kill_run(slot); /* else its first process has ended */
  if (slot->pidfd < 0) slot_release(slot);
}

void refuse_client(struct slot *slot, uint32_t status, const char *problem) {
  struct part parts[] = {{&status, sizeof status}, {problem, strlen(problem)}};
  uint8_t frame[sizeof(struct wire_head) + sizeof status + MAX_REFUSAL];
  struct wire_head head = {.size = (uint32_t)(parts[0].size + parts[1].size), .kind = WIRE_REFUSED, .zero = 0};
  if (parts[1].size > MAX_REFUSAL) return;
  memcpy(frame, &head, sizeof head);
  memcpy(frame + sizeof head, parts[0].bytes, parts[0].size);
  memcpy(frame + sizeof head + parts[0].size, parts[1].bytes, parts[1].size);
  if (slot->client >= 0) (void)send(slot->client, frame, sizeof head + head.size, MSG_NOSIGNAL | MSG_DONTWAIT);
  close_fd(&slot->client);
}

/* A slot that never ran lets go of its client; what was prepared is killed and waited for. */
static void abandon(struct slot *slot) {
  close_fd(&slot->client);
  close_fd(&slot->gate);
  slot->state = SLOT_ENDED;
  slot->deadline_ms = 0;
  kill_run(slot);
  if (slot->pidfd < 0) slot_release(slot);
}

bool run_refuse(struct cursor *body) {
  static char problem[MAX_REFUSAL + 1];
  uint64_t run = take_u64(body);
  uint32_t status = take_u32(body);
  take_text(body, (size_t)(body->end - body->at), problem, sizeof problem);
  if (body->bad || run >= next_run) return false;
  struct slot *slot = find_run(run);
  if (slot == NULL || slot->state == SLOT_ENDED) return true;
  if (slot->state == SLOT_RUNNING) return false;
  refuse_client(slot, status, problem);
  abandon(slot);
  return true;
}

bool run_open(struct cursor *body) {
  uint64_t run = take_u64(body);
  size_t size = (size_t)(body->end - body->at);
  const uint8_t *ticket = take(body, size);
  if (body->bad || size > MAX_TICKET || run >= next_run) return false;
  struct slot *slot = find_run(run);
  if (slot == NULL || slot->state == SLOT_ENDED) {
    struct report none = {0};
    tell_services(run, &none, WIRE_END_GONE, 0, 0);
    return true;
  }
  if (slot->state != SLOT_PREPARED) return false;
  memcpy(slot->ticket, ticket, size);
  slot->ticket_size = (uint16_t)size;
  if (slot->client_gone || slot->failed) {
    finish(slot, slot->failed ? WIRE_END_FAILED : WIRE_END_GONE);
    return true;
  }
  slot->state = SLOT_RUNNING;
  slot->opened_us = now_us();
  slot->deadline_ms = slot->time_limit_ms == 0 ? 0 : now_ms() + slot->time_limit_ms;
  (void)!send(slot->gate, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* EPIPE: it is dead, and its pidfd says so */
  return true;
}

void run_signal(struct slot *slot, uint32_t signal) {
  if (slot->state == SLOT_RUNNING) {
    (void)syscall(SYS_pidfd_send_signal, slot->pidfd, (int)signal, NULL, 0);
  } else if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT) {
    run_client_gone(slot);
  }
}

void run_client_gone(struct slot *slot) {
  close_fd(&slot->client);
  if (slot->state == SLOT_READING) {
    slot_release(slot);
  } else if (slot->state == SLOT_RUNNING && !slot->client_gone) {
    (void)syscall(SYS_pidfd_send_signal, slot->pidfd, SIGHUP, NULL, 0);
    uint64_t end_ms = now_ms() + HANGUP_GRACE_MS;
    if (slot->deadline_ms == 0 || end_ms < slot->deadline_ms) slot->deadline_ms = end_ms;
  }
  slot->client_gone = true;
}

void run_expired(struct slot *slot) {
  slot->deadline_ms = 0;
  if (slot->state == SLOT_READING) {
    close_fd(&slot->client);
    slot_release(slot);
  } else if (slot->state == SLOT_RUNNING) {
    slot->timed_out = !slot->client_gone;
    kill_run(slot);
  } else {
    services_failed("a request was not answered in time");
  }
}

void run_reported(struct slot *slot) {
  struct report report;
  ssize_t n = recv(slot->gate, &report, sizeof report, MSG_DONTWAIT);
  if (n != (ssize_t)sizeof report) { /* end of file: the pidfd tells the rest */
    close_fd(&slot->gate);
    return;
  }
  slot->last = report;
  if (slot->state == SLOT_ENDED) return;
  if (report.kind == WIRE_END_FAILED && slot->state == SLOT_PREPARED) {
    slot->failed = true; /* told when the gate would have opened, so that it has an entry and a receipt */
  } else if (slot->state == SLOT_RUNNING) {
    finish(slot, slot->timed_out ? WIRE_END_TIMED_OUT : report.kind);
  }
}

void run_exited(struct slot *slot) {
  siginfo_t info;
  if (slot->gate >= 0) run_reported(slot); /* what it sent last may still be there */
  if (slot->state == SLOT_RUNNING) {
    slot->last.value = SIGKILL;
    finish(slot, slot->timed_out ? WIRE_END_TIMED_OUT : WIRE_END_SIGNALLED);
  } else if (slot->state == SLOT_PREPARED && !slot->failed) {
    errno = ECHILD;
    start_failed(slot, WIRE_STAGE_CLONE);
  }
  waitid(P_PIDFD, (id_t)slot->pidfd, &info, WEXITED);
  close_fd(&slot->pidfd);
  if (slot->state == SLOT_ENDED) slot_release(slot);
}

void run_lose_all(void) {
  for (uint32_t i = 0; i < MAX_SLOTS; i++) {
    struct slot *slot = &slots[i];
    if (slot->state == SLOT_RUNNING) {
      kill_run(slot);
      finish(slot, WIRE_END_LOST);
    } else if (slot->state == SLOT_SUBMITTED || slot->state == SLOT_PREPARED) {
      refuse_client(slot, 125, problem_unavailable);
      abandon(slot);
    }
  }
}

void slot_release(struct slot *slot) {
  char name[32];
  close_fd(&slot->client);
  close_fd(&slot->gate);
  close_fd(&slot->pidfd);
  for (int i = 0; i < 3; i++) close_fd(&slot->stdio[i]);
  if (slot->cgroup >= 0) {
    close_fd(&slot->cgroup);
    snprintf(name, sizeof name, "run-%llu", (unsigned long long)slot->run);
    if (unlinkat(host.cgroup, name, AT_REMOVEDIR) != 0) note("a run's cgroup could not be removed");
  }
  slot->generation++;
  slot->state = SLOT_FREE;
}
