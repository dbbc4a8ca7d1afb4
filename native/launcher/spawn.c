/*
 * spawn.c: how a process of ours comes into being.
 *
 * A run is built in a spare: a process that was cloned ahead, into namespaces and a cgroup of its own, and that knows
 * nothing yet of who will ask for what. So the clone, a third of a start, is done while nobody waits. There are
 * MAX_SPARES, whoever asks. Each is used once, by one run.
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
  } arguments = {.flags = CLONE_PIDFD | flags, .pidfd = (uintptr_t)pidfd, .exit_signal = SIGCHLD};
  if ((flags & CLONE_PARENT) != 0) arguments.exit_signal = 0; /* then it is the one of who clones */
  if ((namespaces & WIRE_NS_PID) != 0) arguments.flags |= CLONE_NEWPID;
  if ((namespaces & WIRE_NS_IPC) != 0) arguments.flags |= CLONE_NEWIPC;
  if ((namespaces & WIRE_NS_UTS) != 0) arguments.flags |= CLONE_NEWUTS;
  if (cgroup >= 0) {
    arguments.flags |= 0x200000000ull; /* CLONE_INTO_CGROUP, Linux 5.7 */
    arguments.cgroup = (uint64_t)cgroup;
  }
  return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

/* ---- seats: on hosts with v1 controllers, see cgroup.c ---- */

/* For each message a child that is the launcher's, not ours, and that stays in our cgroups of v1. */
static _Noreturn void serve_seat(int seat, int socket) {
  struct start start = {.gate = socket, .template = -1, .bootstrap = -1, .inherit = -1};
  child_begin(&start);
  if (!seat_join(seat)) _exit(1);
  for (;;) {
    char byte;
    int fds[2], pidfd;
    size_t count = 2;
    if (receive_descriptors(GATE, &byte, 1, fds, &count) != 1 || count == 0) _exit(0);
    pid_t pid = clone_child(RUN_NAMESPACES, CLONE_PARENT | (host.privileged ? 0 : CLONE_NEWUSER),
                            count == 2 ? fds[1] : -1, &pidfd);
    if (pid == 0) wait_for_start(fds[0]);
    if (pid < 0 || !send_descriptors(GATE, &pid, sizeof pid, &pidfd, 1)) _exit(1);
    close(pidfd);
    for (size_t i = 0; i < count; i++) close(fds[i]);
  }
}

static bool open_seat(int number) {
  int pair[2];
  const struct timeval patience = {.tv_sec = 5};
  struct seat *seat = &seats[number];
  if (seat->socket > 0) return true;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
  pid_t pid = clone_child(0, 0, -1, &seat->pidfd);
  if (pid == 0) serve_seat(number, pair[1]);
  close(pair[1]);
  seat->socket = pair[0];
  (void)setsockopt(seat->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (pid > 0) return true;
  close(seat->socket);
  seat->socket = 0;
  return false;
}

static void close_seat(struct seat *seat) {
  siginfo_t info;
  if (seat->socket <= 0) return;
  close(seat->socket);
  seat->socket = 0;
  (void)syscall(SYS_pidfd_send_signal, seat->pidfd, SIGKILL, NULL, 0);
  (void)waitid(P_PIDFD, (id_t)seat->pidfd, &info, WEXITED);
  close(seat->pidfd);
}

/* Asks the seat of `process` for a child that has `gate`. Whoever needs it waits for the answer (`arrive`). A seat may
 * have been ended by somebody, or for want of memory, since it was last asked: then there is a new one. */
static bool ask_seat(const struct process *process, int gate) {
  const int fds[2] = {gate, process->group.fd};
  struct seat *seat = &seats[process->group.seat];
  for (int attempt = 0; attempt < 2 && open_seat(process->group.seat); attempt++) {
    if (send_descriptors(seat->socket, "C", 1, fds, process->group.fd < 0 ? 1 : 2)) return true;
    close_seat(seat);
  }
  return false;
}

/* false: the seat was ended by somebody; the next run that sits there gets another. */
static bool arrive(struct process *process) {
  size_t count = 1;
  if (process->pidfd >= 0) return true;
  struct seat *seat = &seats[process->group.seat];
  ssize_t size = receive_descriptors(seat->socket, &process->pid, sizeof process->pid, &process->pidfd, &count);
  if (size == (ssize_t)sizeof process->pid && count == 1) return true;
  close_seat(seat);
  process->pidfd = -1;
  errno = EAGAIN;
  return false;
}

/* ---- spares ---- */

/* false: errno says why, and nothing is left. */
static bool spawn(struct process *process) {
  int gate[2];
  const int largest = 2 * WIRE_MAX_FRAME; /* a plan and a command come in one message */
  *process = no_process;
  if (!group_make(&process->group)) return false;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, gate) != 0) {
    group_remove(&process->group);
    return false;
  }
  (void)setsockopt(gate[0], SOL_SOCKET, SO_SNDBUF, &largest, sizeof largest);
  process->gate = gate[0];
  bool begun = host.has_v1 && ask_seat(process, gate[1]);
  if (!host.has_v1) {
    process->pid = clone_child(RUN_NAMESPACES, host.privileged ? 0 : CLONE_NEWUSER, process->group.fd, &process->pidfd);
    if (process->pid == 0) wait_for_start(gate[1]);
    begun = process->pid > 0;
  }
  int error = errno;
  close(gate[1]);
  if (begun) return true;
  close(process->gate);
  group_remove(&process->group);
  errno = error;
  return false;
}

void process_discard(struct process *process) {
  siginfo_t info;
  close(process->gate);
  if ((process->pidfd >= 0 || process->group.seat >= 0) && arrive(process)) {
    (void)syscall(SYS_pidfd_send_signal, process->pidfd, SIGKILL, NULL, 0);
    (void)waitid(P_PIDFD, (id_t)process->pidfd, &info, WEXITED);
    close(process->pidfd);
  }
  group_remove(&process->group);
  *process = no_process;
}

/* A spare may have been ended by somebody while it waited: then the next, and at last a new one. */
bool process_start(struct process *process, struct cursor body, const struct start *start) {
  int fds[STDIO + 2];
  size_t count = 3 + start->input_count;
  memcpy(fds, start->stdio, sizeof start->stdio);
  if (start->template >= 0) fds[count++] = start->template;
  if (start->keys >= 0) fds[count++] = start->keys;
  for (;;) {
    bool fresh = spare_count == 0;
    if (fresh && !spawn(process)) return false;
    if (!fresh) {
      *process = spares[0];
      memmove(spares, spares + 1, --spare_count * sizeof spares[0]);
    }
    if (arrive(process) && send_descriptors(process->gate, body.at, (size_t)(body.end - body.at), fds, count))
      return true;
    int error = errno;
    process_discard(process);
    errno = error;
    if (fresh) return false;
  }
}

void spares_refill(void) {
  if (spare_count < MAX_SPARES && spawn(&spares[spare_count])) spare_count++;
}

void spares_release(void) {
  while (spare_count > 0) process_discard(&spares[--spare_count]);
  for (size_t seat = 0; seat < SEATS; seat++) close_seat(&seats[seat]);
}
