/*
 * spawn.c: how a process of ours comes into being.
 *
 * A run is built in a spare: a process that was cloned ahead, into namespaces and a cgroup of its own, and that knows
 * nothing yet of who will ask for what. So the clone, a third of a start, is done while nobody waits. Where runs of one
 * plan follow each other, spares build its root ahead too (they are shaped); one stays plain, for any other plan. There
 * are MAX_SPARES, whoever asks. Each is used once, by one run.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

static struct process spares[MAX_SPARES]; /* oldest first */
static size_t spare_count;

pid_t clone_child(uint32_t namespaces, uint64_t flags, int cgroup, int *pidfd) {
  struct clone_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
  } arguments = {.flags = CLONE_PIDFD | flags, .pidfd = (uintptr_t)pidfd};
  arguments.exit_signal = (flags & CLONE_PARENT) != 0 ? 0 : SIGCHLD; /* 0: it is the one of who clones */
  if ((namespaces & WIRE_NS_PID) != 0) arguments.flags |= CLONE_NEWPID;
  if ((namespaces & WIRE_NS_IPC) != 0) arguments.flags |= CLONE_NEWIPC;
  if ((namespaces & WIRE_NS_UTS) != 0) arguments.flags |= CLONE_NEWUTS;
  if (cgroup >= 0) {
    arguments.flags |= 0x200000000ull; /* CLONE_INTO_CGROUP, Linux 5.7 */
    arguments.cgroup = (uint64_t)cgroup;
  }
  return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/* ---- who clones ---- */

/*
 * Whoever clones copies all its descriptors, and to close the copy of a client's can take as long as that client wants:
 * a file of a FUSE file system is flushed first, by who serves it. So the launcher clones nothing itself once clients
 * are let in. A process of ours does that has no descriptor but the places: the nursery, or for runs on hosts with v1
 * controllers a seat (cgroup.c). What it clones is the launcher's child, of which the child's own gate tells us.
 */
struct order {
  uint64_t kept;
  uint32_t what; /* enum service_name, or one of those below */
  int32_t seat;
};
#define MAX_ORDER (sizeof(struct order) + WIRE_MAX_FRAME)

static _Noreturn void serve(int seat, int socket);

static _Noreturn void begin_child(const struct order *order, struct cursor rest, const int *fds, size_t count) {
  host.kept = order->kept;
  if (order->what == A_RUN) wait_for_start(fds[0]);
  if (order->what == A_SEAT) serve(order->seat, fds[0]);
  if (order->what == A_TEMPLATE) template_begin(rest, fds[0]);
  service_child((enum service_name)order->what, fds[0], count > 1 ? fds[1] : -1);
}

/* For each message a child. */
static _Noreturn void serve(int seat, int socket) {
  static uint8_t bytes[MAX_ORDER];
  child_begin(socket, -1);
  child.reports = false;
  if (seat != NURSERY && !seat_join(seat)) _exit(1);
  if (seat != NURSERY && host.privileged) child_bounding(host.kept); /* once for all that it clones */
  for (;;) {
    struct order order;
    int fds[2], pidfd;
    size_t count = 2;
    ssize_t size = receive_descriptors(GATE, bytes, sizeof bytes, fds, &count);
    if (size < (ssize_t)sizeof order || count == 0) _exit(0);
    memcpy(&order, bytes, sizeof order);
    bool run = order.what == A_RUN;
    uint32_t namespaces = run ? RUN_NAMESPACES : service_namespaces(order.what);
    uint64_t flags = CLONE_PARENT | (run && !host.privileged ? CLONE_NEWUSER : 0);
    pid_t pid = clone_child(namespaces, flags, run && count == 2 ? fds[1] : -1, &pidfd);
    if (pid == 0) begin_child(&order, (struct cursor){bytes + sizeof order, bytes + size, false}, fds, count);
    if (pid < 0) pid = -errno;
    (void)send_descriptors(fds[0], &pid, sizeof pid, &pidfd, pid > 0);
    if (pid > 0) close(pidfd);
    for (size_t i = 0; i < count; i++) close(fds[i]);
  }
}

static bool open_seat(int number);

/* Orders a child that has the other end of `process->gate`; who needs it waits for it (`arrive`). A seat may have been
 * ended by somebody, or for want of memory, since it was last asked: then there is a new one. */
static bool order_child(struct process *process, uint32_t what, int second, struct cursor rest) {
  static uint8_t message[MAX_ORDER];
  const int largest = 2 * WIRE_MAX_FRAME; /* a plan and a command come in one message */
  const struct timeval patience = {.tv_sec = 5};
  const int number = what == A_RUN && host.has_v1 ? process->group.seat : NURSERY;
  const struct order order = {.kept = host.kept, .what = what, .seat = process->group.seat};
  const size_t size = (size_t)(rest.end - rest.at);
  int pair[2];
  bool sent = false;
  if (size > WIRE_MAX_FRAME || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
  const int fds[2] = {pair[1], second};
  (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &largest, sizeof largest);
  (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  process->gate = pair[0];
  for (int attempt = 0; attempt < 2 && !sent && open_seat(number); attempt++) {
    memcpy(message, &order, sizeof order); /* a seat that was opened was ordered too */
    if (size > 0) memcpy(message + sizeof order, rest.at, size);
    sent = send_descriptors(seats[number].process.gate, message, sizeof order + size, fds, second < 0 ? 1 : 2);
    if (!sent) process_discard(&seats[number].process);
  }
  close(pair[1]);
  return sent;
}

/* false: it could not be cloned, or who was asked has ended. */
static bool arrive(struct process *process) {
  size_t count = 1;
  if (process->pidfd >= 0) return true;
  ssize_t size = receive_descriptors(process->gate, &process->pid, sizeof process->pid, &process->pidfd, &count);
  if (size == (ssize_t)sizeof process->pid && count == 1) return true;
  process->pidfd = -1;
  errno = size == (ssize_t)sizeof process->pid && process->pid < 0 ? -process->pid : EAGAIN;
  return false;
}

bool child_start(struct process *process, uint32_t what, int second, struct cursor rest) {
  *process = no_process;
  if (order_child(process, what, second, rest) && arrive(process)) return true;
  process_discard(process);
  return false;
}

/* By the launcher itself, while no client is there. */
static void clone_nursery(struct process *process) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return;
  process->gate = pair[0];
  process->pid = clone_child(0, 0, -1, &process->pidfd);
  if (process->pid == 0) serve(NURSERY, pair[1]);
  close(pair[1]);
}

static bool open_seat(int number) {
  struct process *process = &seats[number].process;
  if (process->pidfd >= 0) return true;
  if (number == NURSERY) {
    clone_nursery(process);
  } else {
    process->group.seat = number;
    if (order_child(process, A_SEAT, -1, (struct cursor){0})) (void)arrive(process);
    process->group.seat = -1;
  }
  if (process->pidfd >= 0) return true;
  process_discard(process);
  return false;
}

bool nursery_open(void) {
  seats[NURSERY].process = no_process;
  bool opened = open_seat(NURSERY);
  for (int seat = 0; seat < NURSERY; seat++) seats[seat].process = no_process;
  return opened;
}

/* Once, before anybody is told that we are ready: a sysctl or a security module may forbid what every run begins with,
 * user namespaces first of all. false: errno says why. */
bool try_namespaces(void) {
  siginfo_t end;
  int pidfd;
  pid_t pid = clone_child(RUN_NAMESPACES, host.privileged ? 0 : CLONE_NEWUSER, -1, &pidfd);
  if (pid == 0) _exit(unshare(CLONE_NEWCGROUP | CLONE_NEWNET | CLONE_NEWNS) == 0 ? 0 : errno);
  if (pid < 0 || waitid(P_PIDFD, (id_t)pidfd, &end, WEXITED) != 0) return false;
  close(pidfd);
  errno = end.si_status;
  return end.si_status == 0;
}

/* ---- spares ---- */

/* false: errno says why, and nothing is left. */
static bool spawn(struct process *process) {
  *process = no_process;
  if (group_make(&process->group) && order_child(process, A_RUN, process->group.fd, (struct cursor){0})) return true;
  process_discard(process);
  return false;
}

void process_discard(struct process *process) {
  const int error = errno; /* that of who gives up */
  siginfo_t info;
  if (process->gate >= 0 && arrive(process)) {
    (void)syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
    (void)waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED);
    close(process->pidfd);
  }
  if (process->gate >= 0) close(process->gate);
  group_remove(&process->group);
  *process = no_process;
  errno = error;
}

/* The template of the last run, if it was that of the one before too: the next will most likely be another of its. */
static struct {
  const struct template *template;
  uint32_t serial;
  bool again;
} latest;

/* spare_count: there is none. */
static size_t spare_shaped(uint32_t shape) {
  size_t at = 0;
  while (at < spare_count && spares[at].shape != shape) at++;
  return at;
}

static struct process take_spare(size_t at) {
  struct process process = spares[at];
  memmove(spares + at, spares + at + 1, (--spare_count - at) * sizeof spares[0]);
  return process;
}

/* The run brings the same plan again, and the spare compares. If it cannot build it, it ends, and the run takes the
 * next. */
static void shape(struct process *process, const struct template *template) {
  static uint8_t body[sizeof(struct wire_prepare) + sizeof template->plan];
  const struct wire_prepare head = {.plan_size = (uint32_t) template->size};
  memcpy(body, &head, sizeof head);
  memcpy(body + sizeof head, template->plan, template->size);
  if (send_descriptors(process->gate, body, sizeof head + template->size, &template->fd, 1))
    process->shape = template->serial;
}

/* A spare may have been ended by somebody while it waited: then the next, and at last a new one. */
bool process_start(struct process *process, struct cursor body, const struct start *start,
                   const struct template *template) {
  int fds[STDIO + 2];
  size_t count = 3 + start->input_count;
  memcpy(fds, start->stdio, sizeof start->stdio);
  if (start->template >= 0) fds[count++] = start->template;
  if (start->keys >= 0) fds[count++] = start->keys;
  const uint32_t serial = template == NULL ? 0 : template->serial;
  latest.again = serial != 0 && serial == latest.serial;
  latest.template = template;
  latest.serial = serial;
  for (;;) {
    size_t at = spare_shaped(serial);
    if (at == spare_count) at = spare_shaped(0);
    bool fresh = at == spare_count;
    if (fresh && !spawn(process)) return false;
    if (!fresh) *process = take_spare(at);
    if (arrive(process) && send_descriptors(process->gate, body.at, (size_t)(body.end - body.at), fds, count))
      return true;
    process_discard(process);
    if (fresh) return false;
  }
}

/* Those with a root that is not this template's. */
static void discard_shaped(uint32_t but) {
  for (size_t at = spare_count; at-- > 0;) {
    if (spares[at].shape == 0 || spares[at].shape == but) continue;
    struct process other = take_spare(at);
    process_discard(&other);
  }
}

int close_elsewhere(const int *fds, size_t count) {
  int pidfd = -1;
  pid_t pid = clone_child(0, CLONE_FILES, -1, &pidfd);
  for (size_t i = 0; i < count && pid <= 0; i++) close(fds[i]);
  if (pid == 0) _exit(0);
  return pid > 0 ? pidfd : -1;
}

void spares_refill(void) {
  const bool wanted = latest.again && latest.template->serial == latest.serial && latest.template->fd >= 0;
  if (wanted && spare_count == MAX_SPARES) discard_shaped(latest.serial);
  if (spare_count < MAX_SPARES && spawn(&spares[spare_count])) spare_count++;
  for (size_t at = 0, plain = 0; wanted && at < spare_count; at++)
    if (spares[at].shape == 0 && plain++ > 0) shape(&spares[at], latest.template);
}

void spares_reshape(void) { discard_shaped(0); }

void spares_drop(void) {
  while (spare_count > 0) process_discard(&spares[--spare_count]);
  for (int seat = 0; seat < NURSERY; seat++) process_discard(&seats[seat].process);
}

void spares_release(void) {
  spares_drop();
  process_discard(&seats[NURSERY].process);
}
