/*
 * sandbox.c: the child's way from clone to exec. Its order is its meaning:
 *
 *   1. its own session; only its own descriptors
 *   2. user namespace map (unprivileged mode only), network, cgroup namespace
 *   3. the new root, then pivot_root: from here on no path of the host can be named
 *   4. limits
 *   5. the executable, opened in the new root, must be the file that the executor hashed
 *   6. identity: bounding set, groups, ids, the five capability sets, no_new_privs
 *   7. Landlock, seccomp: nothing above could be done from behind them
 *   8. a run waits at the gate; the executor opens it once receipt and entry are durable
 *   9. exec, of the descriptor from 5, compared once more
 *
 * Each step that fails ends the process with the step's name and errno in its report. No step is skipped silently:
 * what could not be had is missing from `features`, and whether that is acceptable was decided with the plan.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/if.h>

#include "kernel.h"
#include "launcher.h"

#define MAX_ARGUMENTS 1024u
#define MAX_TEXT WIRE_MAX_FRAME

struct report child_report;
static int report_fd = -1;

static struct wire_command command;
static gid_t groups[WIRE_MAX_GROUPS];
static char executable_path[4096], working_directory[4096];
static char text[MAX_TEXT]; /* argv and environment, each ending in NUL */
static char *argv[MAX_ARGUMENTS + 1], *envp[MAX_ARGUMENTS + 1];

_Noreturn void child_fail(uint32_t stage) {
  child_report.kind = WIRE_END_FAILED;
  child_report.value = (uint32_t)errno;
  child_report.stage = stage;
  if (report_fd >= 0) (void)!write(report_fd, &child_report, sizeof child_report);
  _exit(125);
}

bool plan_head(struct cursor *c, struct wire_plan *plan) {
  const uint8_t *bytes = take(c, sizeof *plan);
  if (bytes == NULL) return false;
  memcpy(plan, bytes, sizeof *plan);
  return plan->version == WIRE_VERSION && plan->zero == 0 && plan->rlimit_count <= 32 && plan->mount_count <= 512 &&
         plan->seccomp_count <= 4096;
}

/* Splits blob32 texts into `vector`. The texts lie one behind the other in `text`. */
static void take_vector(struct cursor *c, uint16_t count, char **vector, size_t *used) {
  if (count > MAX_ARGUMENTS) c->bad = true;
  for (uint16_t i = 0; i < count && !c->bad; i++) {
    uint32_t size = take_u32(c);
    vector[i] = text + *used;
    take_text(c, size, text + *used, sizeof text - *used);
    *used += size + 1u;
  }
}

static void read_command(struct cursor *c) {
  const uint8_t *bytes = take(c, sizeof command);
  if (bytes != NULL) memcpy(&command, bytes, sizeof command);
  if (command.zero != 0 || command.group_count > WIRE_MAX_GROUPS || command.argc == 0) c->bad = true;
  for (uint16_t i = 0; i < command.group_count && !c->bad; i++) groups[i] = take_u32(c);
  take_text(c, take_u16(c), executable_path, sizeof executable_path);
  take_text(c, take_u16(c), working_directory, sizeof working_directory);
  size_t used = 0;
  take_vector(c, command.argc, argv, &used);
  take_vector(c, command.envc, envp, &used);
  if (c->bad || c->at != c->end) {
    errno = EBADMSG;
    child_fail(WIRE_STAGE_CLONE);
  }
}

/* Step 1. Moves what is needed out of the way of 0 to 9, then closes everything else. */
static void keep_descriptors(const struct start *start) {
  const int wanted[] = {start->gate,
                        start->report,
                        host.network,
                        host.landlock,
                        start->bootstrap,
                        start->inherit,
                        template_fd(start->template)};
  int high[PLACES - GATE], stdio[3];
  for (size_t i = 0; i < sizeof high / sizeof high[0]; i++)
    high[i] = wanted[i] < 0 ? -1 : fcntl(wanted[i], F_DUPFD_CLOEXEC, 64);
  for (int i = 0; i < 3; i++) stdio[i] = fcntl(start->stdio[i], F_DUPFD_CLOEXEC, 64);
  for (int i = 0; i < 3; i++)
    if (stdio[i] < 0 || dup2(stdio[i], i) < 0) child_fail(WIRE_STAGE_STDIO);
  for (int i = 0; i < PLACES - GATE; i++)
    if (high[i] >= 0 && dup3(high[i], GATE + i, O_CLOEXEC) < 0) child_fail(WIRE_STAGE_STDIO);
  for (int i = 0; i < PLACES - GATE; i++)
    if (high[i] < 0) close(GATE + i);
  for (int fd = 3; fd < GATE; fd++) close(fd);
  if (syscall(SYS_close_range, PLACES, ~0u, 0) != 0) child_fail(WIRE_STAGE_STDIO);
  report_fd = start->report < 0 ? -1 : REPORT;
}

static void raise_loopback(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) child_fail(WIRE_STAGE_NETWORK);
  close(fd);
}

/* Step 2. Which of the two empty networks it is was settled before clone (`clone_flags` in run.c). */
static void enter_network(const struct wire_plan *plan, bool shared) {
  if ((plan->namespaces & WIRE_NS_NETWORK) == 0) return;
  if (shared) {
    if (setns(NETWORK, CLONE_NEWNET) != 0) child_fail(WIRE_STAGE_NETWORK);
    child_report.features |= WIRE_FEATURE_NETWORK_SHARED_EMPTY;
  } else if (unshare(CLONE_NEWNET) != 0) {
    child_fail(WIRE_STAGE_NETWORK);
  }
  if ((plan->namespaces & WIRE_NS_LOOPBACK) != 0) raise_loopback();
  child_report.features |= WIRE_FEATURE_NETWORK_NAMESPACE;
}

static bool may_share_network(const struct wire_plan *plan) {
  return host.network >= 0 && (plan->namespaces & WIRE_NS_NETWORK_OWN) == 0 &&
         (host.landlock_scope & LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET) != 0 &&
         (plan->landlock_scope & LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET) != 0;
}

/* Steps 5 and 9. `mtime` and `ctime` change with content, mode and owner: nobody can put another file in its place. */
static void same_file(int fd) {
  struct stat st;
  if (fstat(fd, &st) != 0) child_fail(WIRE_STAGE_EXECUTABLE);
  uint64_t mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
  uint64_t ctime_ns = (uint64_t)st.st_ctim.tv_sec * 1000000000u + (uint64_t)st.st_ctim.tv_nsec;
  if (!S_ISREG(st.st_mode) || st.st_dev != command.device || st.st_ino != command.inode ||
      (uint64_t)st.st_size != command.size || mtime_ns != command.mtime_ns || ctime_ns != command.ctime_ns) {
    errno = ESTALE;
    child_fail(WIRE_STAGE_EXECUTABLE);
  }
}

static int open_executable(void) {
  struct open_how_v0 {
    uint64_t flags, mode, resolve;
  } how = {.flags = O_PATH | O_CLOEXEC, .resolve = 0x04 | 0x02}; /* RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS */
  int fd = (int)syscall(SYS_openat2, AT_FDCWD, executable_path, &how, sizeof how);
  if (fd < 0) child_fail(WIRE_STAGE_EXECUTABLE);
  same_file(fd);
  return fd;
}

/* Step 7, first half. */
static void enter_landlock(const struct wire_plan *plan) {
  if (plan->landlock_scope == 0 || host.landlock < 0) return;
  if (syscall(SYS_landlock_restrict_self, LANDLOCK, 0) != 0) child_fail(WIRE_STAGE_LANDLOCK);
  child_report.features |= WIRE_FEATURE_LANDLOCK_SCOPE;
}

/* Handlers go with exec, and the launcher ignores nothing (`clean_start`): only the mask is left to be reset. */
static void unblock_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

/* ---- the first process of a run's pid namespace: starts the command, passes signals on, reaps, reports ---- */

static volatile pid_t command_pid;
static volatile int exec_errno;

static void pass_on(int number) {
  int saved = errno;
  if (command_pid > 0) kill(command_pid, number);
  errno = saved;
}

static const int passed[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH};

/* Without a handler the kernel drops signals for the first process of a namespace. */
static void catch_signals(void) {
  struct sigaction action = {.sa_handler = pass_on, .sa_flags = SA_RESTART};
  sigfillset(&action.sa_mask);
  for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) sigaction(passed[i], &action, NULL);
}

static void set_passed(int how) {
  sigset_t set;
  sigemptyset(&set);
  for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) sigaddset(&set, passed[i]);
  sigprocmask(how, &set, NULL);
}

static void tell_end(int status, const struct rusage *usage) {
  child_report.kind = WIFSIGNALED(status) ? WIRE_END_SIGNALLED : WIRE_END_EXITED;
  child_report.value = (uint32_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  child_report.user_us = (uint64_t)usage->ru_utime.tv_sec * 1000000u + (uint64_t)usage->ru_utime.tv_usec;
  child_report.system_us = (uint64_t)usage->ru_stime.tv_sec * 1000000u + (uint64_t)usage->ru_stime.tv_usec;
  child_report.max_rss_kib = (uint64_t)usage->ru_maxrss;
  (void)!write(REPORT, &child_report, sizeof child_report);
  _exit(0); /* and with us every process of the namespace */
}

/* Step 9 of a run. vfork: the child borrows our memory until it has exec'd, so it touches nothing but `exec_errno`. */
static _Noreturn void run_command(int executable) {
  set_passed(SIG_BLOCK);
  catch_signals();
  same_file(executable);
  pid_t pid = vfork();
  if (pid == 0) {
    if (setsid() < 0) _exit(125);
    unblock_signals();
    syscall(SYS_execveat, executable, "", argv, envp, AT_EMPTY_PATH);
    exec_errno = errno;
    _exit(125);
  }
  if (pid < 0) child_fail(WIRE_STAGE_CLONE);
  command_pid = pid;
  set_passed(SIG_UNBLOCK);
  close(executable);
  for (int fd = 0; fd < 3; fd++) close(fd); /* or a pipe's reader would wait for us */
  for (;;) {
    int status;
    struct rusage usage;
    pid_t ended = wait4(-1, &status, 0, &usage);
    if (ended < 0 && errno == EINTR) continue;
    if (ended != pid && ended >= 0) continue; /* an orphan of the command */
    if (exec_errno != 0) {
      errno = exec_errno;
      child_fail(WIRE_STAGE_EXEC);
    }
    if (ended < 0) child_fail(WIRE_STAGE_EXEC);
    tell_end(status, &usage);
  }
}

/* Step 8. End of file means that the launcher let go of the run: nothing may start then. */
static void wait_at_gate(void) {
  char byte = 0;
  ssize_t n;
  child_report.kind = 0;
  if (write(REPORT, &child_report, sizeof child_report) != (ssize_t)sizeof child_report) _exit(125);
  do n = read(GATE, &byte, 1);
  while (n < 0 && errno == EINTR);
  if (n != 1 || byte != 'G') _exit(125);
  close(GATE);
}

/* ---- services ---- */

/* Sends descriptors to the launcher over the bootstrap socket. */
static void send_up(const int *fds, size_t count) {
  char byte = (char)count;
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int) * 4)];
  } control = {0};
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = (socklen_t)CMSG_SPACE(sizeof(int) * count)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = (socklen_t)CMSG_LEN(sizeof(int) * count);
  memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  if (sendmsg(BOOTSTRAP, &message, MSG_NOSIGNAL) != 1) child_fail(WIRE_STAGE_STDIO);
}

/*
 * Steps 7 and 9 of a service. Its channels are made here, after the drop: who passes one of them to a stranger who
 * asks SO_PEERCRED shows the service's ids, never root's. The exec below waits for the launcher's answer on the
 * listener; the launcher then closes it, and every later execve in this process ends with ENOSYS.
 */
static _Noreturn void start_service(struct start *start, const struct wire_plan *plan, int executable) {
  int up[2] = {-1, -1}, peer[2] = {-1, -1}, fds[4];
  size_t count = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, up) != 0) child_fail(WIRE_STAGE_STDIO);
  if (start->makes_peer && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, peer) != 0) child_fail(WIRE_STAGE_STDIO);
  int listener = child_seccomp(&start->plan, plan);
  fds[count++] = up[0];
  if (listener >= 0) fds[count++] = listener;
  if (start->makes_peer) fds[count++] = peer[0];
  send_up(fds, count);
  close(BOOTSTRAP);
  close(up[0]);
  if (listener >= 0) close(listener);
  if (start->makes_peer) close(peer[0]);
  /* To where Node finds them: 3 launcher, 4 the other service, 5 the broker's listener. First all out of the way. */
  executable = fcntl(executable, F_DUPFD_CLOEXEC, 32);
  int third = fcntl(up[1], F_DUPFD_CLOEXEC, 32),
      fourth = start->makes_peer ? fcntl(peer[1], F_DUPFD_CLOEXEC, 32) : INHERIT;
  if (executable < 0 || dup2(third, 3) < 0 || dup2(fourth, 4) < 0) _exit(125);
  if (start->makes_peer ? dup2(INHERIT, 5) < 0 : close(5) != 0 && errno != EBADF) _exit(125);
  unblock_signals();
  same_file(executable);
  syscall(SYS_execveat, executable, "", argv, envp, AT_EMPTY_PATH);
  _exit(126);
}

_Noreturn void sandbox_enter(struct start *start, const struct wire_plan *plan) {
  report_fd = start->report;
  read_command(&start->command);
  bool shared = may_share_network(plan);
  if (setsid() < 0) child_fail(WIRE_STAGE_CLONE);
  if ((plan->flags & WIRE_PLAN_STDIN_NULL) != 0) {
    start->stdio[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (start->stdio[0] < 0) child_fail(WIRE_STAGE_STDIO);
  }
  keep_descriptors(start);
  if ((plan->namespaces & WIRE_NS_PID) != 0) child_report.features |= WIRE_FEATURE_PID_NAMESPACE;
  if ((plan->namespaces & WIRE_NS_IPC) != 0) child_report.features |= WIRE_FEATURE_IPC_NAMESPACE;
  if ((plan->namespaces & WIRE_NS_UTS) != 0) child_report.features |= WIRE_FEATURE_UTS_NAMESPACE;
  if (!host.privileged && !start->service) child_user_namespace(&command);
  enter_network(plan, shared);
  if ((plan->namespaces & WIRE_NS_CGROUP) != 0) {
    if (unshare(CLONE_NEWCGROUP) != 0) child_fail(WIRE_STAGE_CGROUP);
    child_report.features |= WIRE_FEATURE_CGROUP_NAMESPACE;
  }
  struct cursor limits = start->plan;
  (void)take(&start->plan, plan->rlimit_count * sizeof(struct wire_rlimit));
  child_mounts(&start->plan, plan, start->template);
  child_limits(&limits, plan);
  int executable = open_executable();
  if (host.privileged || !start->service) child_identity(plan, &command, groups);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY);
  child_report.features |= WIRE_FEATURE_NO_NEW_PRIVS;
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY); /* ids are set: it stays */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY);
  if (chdir(working_directory) != 0) child_fail(WIRE_STAGE_MOUNT);
  enter_landlock(plan);
  if (start->service) start_service(start, plan, executable);
  (void)child_seccomp(&start->plan, plan);
  wait_at_gate();
  run_command(executable);
}
