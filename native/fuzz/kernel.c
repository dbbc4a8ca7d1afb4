/*
 * kernel.c: answers the calls that redirect.h takes away. For the launcher's half sockets are real and only processes
 * are not; for a child nothing is: descriptors are numbers from 1000 on, and any one call can be told to fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "../launcher/launcher.h"
#include "kernel.h"

#define FIRST_FAKE 1000
#define FIRST_DEVICE 1000000 /* of what was opened below /dev, which is a character device whatever else is what */

struct kernel kernel;

_Noreturn void broken_claim(const char *what, const char *file, int line) {
  fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
  abort();
}

int fuzz_call(void) {
  if (++kernel.calls != kernel.failing) return 0;
  errno = EPERM;
  return -1;
}

static int fake_descriptor(void) { return fuzz_call() != 0 ? -1 : FIRST_FAKE + (int)kernel.calls; }

/* A step counts in the order that it must have: what was compared before it says nothing about now. */
static long took(enum step step) {
  if (fuzz_call() != 0) return -1;
  kernel.steps = (kernel.steps | step) & ~(uint32_t)STEP_STAMP;
  return 0;
}

static long clone_nobody(void *arguments) {
  uint64_t flags, pidfd_at;
  memcpy(&flags, arguments, sizeof flags);
  memcpy(&pidfd_at, (char *)arguments + 8, sizeof pidfd_at);
  if (kernel.child || (flags & CLONE_FILES) != 0 || fuzz_call() != 0) return -1; /* who shares descriptors is needed */
  *(int *)(uintptr_t)pidfd_at = dup(0);
  return 1000000;
}

static long own_syscall(long number, const long *a) {
  switch (number) {
  case SYS_clone3:
    return clone_nobody((void *)a[0]);
  case SYS_pidfd_send_signal:
    return 0;
  case SYS_pivot_root:
    return took(STEP_ROOT);
  case SYS_setgroups:
    return took(STEP_GROUPS);
  case SYS_setresgid:
    return took(STEP_GID);
  case SYS_setresuid:
    return took(STEP_UID);
  case SYS_capset:
    return took(STEP_CAPABILITIES);
  case SYS_landlock_restrict_self:
    return took(STEP_LANDLOCK);
  case SYS_seccomp:
    return took(STEP_SECCOMP) != 0 ? -1 : FIRST_FAKE;
  case SYS_openat2: {
    const char *path = (const char *)a[1];
    int fd = fake_descriptor();
    return fd >= 0 && strncmp(path + (path[0] == '/'), "dev/", 4) == 0 ? FIRST_DEVICE + fd : fd;
  }
  case 428: /* open_tree */
  case 430: /* fsopen */
  case 432: /* fsmount */
  case SYS_landlock_create_ruleset:
    return fake_descriptor();
  case SYS_execveat:
    kernel.at_exec();
    errno = ENOEXEC;
    return -1;
  default:
    return fuzz_call();
  }
}

long fuzz_syscall(long number, ...) {
  long a[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  if (!kernel.child && number == SYS_pidfd_open) return syscall(number, (int)a[0], 0);
  return own_syscall(number, a);
}

int fuzz_open(const char *path, int flags, ...) {
  if (kernel.child && strncmp(path, "/missing", 8) == 0) {
    errno = ENOENT;
    return -1;
  }
  if (strcmp(path, "/boot") == 0) return dup(kernel.boot);
  return kernel.child ? fake_descriptor() : open(path, flags, 0600);
}

int fuzz_openat(int directory, const char *path, int flags, ...) {
  (void)directory, (void)path, (void)flags;
  return fake_descriptor();
}

int fuzz_close(int fd) { return kernel.child ? 0 : close(fd); }

ssize_t fuzz_write(int fd, const void *bytes, size_t size) {
  (void)fd, (void)bytes;
  return kernel.child && fuzz_call() != 0 ? -1 : (ssize_t)size;
}

ssize_t fuzz_send(int fd, const void *bytes, size_t size, int flags) {
  return kernel.child ? (ssize_t)size : send(fd, bytes, size, flags);
}

static struct gate *gate_of(int end) {
  for (int i = 0; i < kernel.gate_count; i++)
    if (kernel.gates[i].peer >= 0 && kernel.gates[i].end == end) return &kernel.gates[i];
  return NULL;
}

static void remember_gate(const int pair[2]) {
  struct gate *before = gate_of(pair[1]), *gate = &kernel.gates[pair[0]];
  CLAIM(pair[0] < MAX_PEERS);
  if (before != NULL) before->end = -1; /* closed since, and nobody had it */
  if (gate->peer >= 0) close(gate->peer);
  *gate = (struct gate){.peer = dup(pair[1]), .end = pair[1]};
  if (pair[0] >= kernel.gate_count) kernel.gate_count = pair[0] + 1;
}

/* The nursery: who is cloned is nobody, a template's says that it is done, and relays come or not. */
ssize_t fuzz_sendmsg(int fd, const struct msghdr *message, int flags) {
  if (kernel.child) return fuzz_call() != 0 ? -1 : (ssize_t)message->msg_iov->iov_len;
  if (seats[NURSERY].process.pidfd < 0 || fd != seats[NURSERY].process.gate) return sendmsg(fd, message, flags);
  const char *order = message->msg_iov->iov_base;
  const pid_t pid = 1000000;
  int end, nobody = dup(0);
  memcpy(&end, CMSG_DATA(CMSG_FIRSTHDR(message)), sizeof end);
  struct gate *gate = gate_of(end);
  CLAIM(gate != NULL);
  gate->end = -1;
  memcpy(&gate->kept, order, sizeof gate->kept);
  memcpy(&gate->what, order + sizeof gate->kept, sizeof gate->what);
  if (gate->what >= RELAY && gate->what <= RECORDER && kernel.no_relay)
    (void)shutdown(end, SHUT_RDWR);
  else if (!send_descriptors(end, &pid, sizeof pid, &nobody, 1))
    abort();
  if (gate->what == A_TEMPLATE) (void)!send(end, "T", 1, 0);
  close(nobody);
  return (ssize_t)message->msg_iov->iov_len;
}

void kernel_forget_gates(void) {
  for (int i = 0; i < kernel.gate_count; i++) {
    if (kernel.gates[i].peer >= 0) close(kernel.gates[i].peer);
    kernel.gates[i].peer = -1;
  }
  kernel.gate_count = 0;
}

ssize_t fuzz_recv(int fd, void *bytes, size_t size, int flags) {
  if (!kernel.child) return recv(fd, bytes, size, flags);
  if (size == 0 || took(STEP_GATE) != 0) return 0;
  memcpy(bytes, "G", 1);
  return 1;
}

int fuzz_ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void *argument = va_arg(list, void *);
  va_end(list);
  if (!kernel.child) return ioctl(fd, request, argument);
  return request == TIOCGPTPEER ? fake_descriptor() : fuzz_call();
}

int fuzz_isatty(int fd) {
  if (!kernel.child) return isatty(fd);
  return fd < 3 && (kernel.terminals >> fd & 1) != 0;
}

int fuzz_tcgetattr(struct termios *settings) {
  memset(settings, 0, sizeof *settings);
  return fuzz_call();
}

int fuzz_fstat(int fd, struct stat *st) {
  struct wire_stamp stamp;
  if (!kernel.child) return fstat(fd, st);
  memset(st, 0, sizeof *st);
  if (fuzz_call() != 0) return -1;
  memcpy(&stamp, kernel.stamp, sizeof stamp);
  st->st_mode = (fd >= FIRST_DEVICE ? S_IFCHR : kernel.kind) | 0644u;
  st->st_dev = stamp.device;
  st->st_ino = stamp.inode;
  st->st_size = (off_t)stamp.size;
  st->st_mtim.tv_sec = (time_t)(stamp.mtime_ns / 1000000000u);
  st->st_mtim.tv_nsec = (long)(stamp.mtime_ns % 1000000000u);
  st->st_ctim.tv_sec = (time_t)(stamp.ctime_ns / 1000000000u);
  st->st_ctim.tv_nsec = (long)(stamp.ctime_ns % 1000000000u);
  kernel.steps |= STEP_STAMP;
  return 0;
}

int fuzz_fcntl(int fd, int command, ...) {
  if (kernel.child) return fuzz_call() != 0 ? -1 : fd % 3;
  return fcntl(fd, command, 0);
}

int fuzz_socketpair(int domain, int type, int protocol, int pair[2]) {
  if (kernel.child) {
    pair[0] = fake_descriptor();
    pair[1] = fake_descriptor();
    return pair[0] < 0 || pair[1] < 0 ? -1 : 0;
  }
  if (socketpair(domain, type, protocol, pair) != 0) return -1;
  if ((type & SOCK_SEQPACKET) != SOCK_SEQPACKET) return 0; /* a gate is one */
  remember_gate(pair);
  return 0;
}

int fuzz_accept(void) {
  int fd = kernel.accepted;
  kernel.accepted = -1;
  errno = EAGAIN;
  return fd;
}

int fuzz_prctl(int option, ...) { return option == PR_SET_NO_NEW_PRIVS ? (int)took(STEP_NO_NEW_PRIVS) : fuzz_call(); }

int fuzz_dup(int to) { return fuzz_call() != 0 ? -1 : to; }

pid_t fuzz_vfork(void) { return fuzz_call() != 0 ? -1 : kernel.is_vforked ? 0 : 1000000; }

pid_t fuzz_wait4(int *status, struct rusage *usage) {
  memset(usage, 0, sizeof *usage);
  *status = 0;
  return 1000000;
}

_Noreturn void fuzz_exit(int status) {
  (void)status;
  CLAIM(kernel.running);
  longjmp(kernel.end, 1);
}
