/*
 * sandbox.c: the child's way from clone to exec. Its order is its meaning:
 *
 *   1. its own 0, 1, 2, and no descriptor but the places; its own session. A spare waits here
 *   2. user namespace map (unprivileged mode only), cgroup namespace, network
 *   3. the new root, then pivot_root: from here on no path of the host can be named; in it a terminal, if the client's
 *      stdio is one (terminal.c). Landlock's rules, which name paths of the new root. A spare that is shaped waits here
 *      again, for a run of just this plan
 *   4. limits
 *   5. the executable, opened in the new root, must be the file that the executor hashed
 *   6. identity: bounding set, groups, ids, the five capability sets, no_new_privs
 *   7. Landlock; then no descriptor of the launcher but gate and executable
 *   8. seccomp: nothing above could be done from behind it
 *   9. the run's second process, which is to be the command, waits at the gate; the executor opens it once receipt and
 *      entry are durable
 *  10. exec, of the descriptor from 5, compared once more, as is what lies at the places of the run's own binds
 *      (both in first-process.c)
 *
 * Each step that fails ends the process with the step's name and errno in its report. None is skipped silently: what
 * this host does not have was known before the clone (`features_of` in host.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
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
#include <linux/openat2.h>

#include "kernel.h"
#include "sandbox.h"

#define MAX_TEXT WIRE_MAX_FRAME

struct child child = {.proc = -1, .ruleset = -1, .shown = -1, .keys = -1, .terminal = -1};
static gid_t groups[WIRE_MAX_GROUPS];
static char executable_path[4096], working_directory[4096];
static char text[MAX_TEXT]; /* argv and environment, each ending in NUL */

/* Of a run the client hears why; of a service, that the host lacks what its sandbox needs, the launcher's own stderr.
 */
_Noreturn void child_fail(uint32_t stage) {
  static const char *const names[] = {"clone",    "clone",    "cgroup",  "network",    "mount", "limits",
                                      "identity", "landlock", "seccomp", "executable", "exec",  "stdio"};
  struct wire_exited report = {.kind = WIRE_END_FAILED, .value = (uint32_t)errno, .stage = (uint16_t)stage};
  char line[160];
  if (child.reports) (void)!send(GATE, &report, sizeof report, MSG_NOSIGNAL);
  if (child.service) {
    snprintf(line, sizeof line, "belladonna-launcher: a service: %s: %s\n", names[stage % 12], strerror(errno));
    (void)!write(2, line, strlen(line));
  }
  _exit(125);
}

_Noreturn void child_refuse(uint32_t stage, int error) {
  errno = error;
  child_fail(stage);
}

bool plan_head(struct cursor *c, struct wire_plan *plan) {
  return take_into(c, plan, sizeof *plan) && plan->version == WIRE_VERSION && plan->zero == 0 &&
         plan->rlimit_count <= 32 && plan->mount_count <= 512 && plan->landlock_path_count <= 512 &&
         plan->landlock_port_count <= 128 && plan->seccomp_count <= 4096;
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
  struct wire_command *command = &child.command;
  (void)take_into(c, command, sizeof *command);
  (void)take_into(c, &child.stamp, sizeof child.stamp);
  if (command->bind_count > MAX_BINDS || command->group_count > WIRE_MAX_GROUPS || command->argc == 0) c->bad = true;
  for (uint16_t i = 0; i < command->group_count && !c->bad; i++) groups[i] = take_u32(c);
  take_text(c, take_u16(c), executable_path, sizeof executable_path);
  take_text(c, take_u16(c), working_directory, sizeof working_directory);
  size_t used = 0;
  take_vector(c, command->argc, child.argv, &used);
  take_vector(c, command->envc, child.envp, &used);
  child.binds = *c; /* read when the mounts are made */
  if (c->bad || (command->bind_count == 0 && c->at != c->end)) child_refuse(WIRE_STAGE_CLONE, EBADMSG);
}

void take_stdio(struct start *start, const struct wire_plan *plan) {
  if ((plan->flags & WIRE_PLAN_STDIN_NULL) != 0) start->stdio[0] = NULL_DEVICE;
  for (int i = 0; i < 3; i++)
    if (dup2(start->stdio[i], i) < 0) child_fail(WIRE_STAGE_STDIO);
}

/* Step 1. All of these come from above the places, so nothing is overwritten. */
void child_begin(int gate, int inherit) {
  set_signals(SIG_BLOCK);
  (void)schedule_shortly();
  if (dup3(gate, GATE, O_CLOEXEC) < 0 || (inherit >= 0 && dup3(inherit, INHERIT, O_CLOEXEC) < 0)) _exit(125);
  child.reports = true;
  if (syscall(SYS_close_range, PLACES, ~0u, 0) != 0) child_fail(WIRE_STAGE_STDIO);
  if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) child_fail(WIRE_STAGE_CLONE);
}

static void raise_loopback(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) != 0) child_fail(WIRE_STAGE_NETWORK);
  close(fd);
}

/* Step 2. */
static void enter_network(const struct wire_plan *plan) {
  if ((plan->namespaces & WIRE_NS_NETWORK) == 0) return;
  int entered = may_share_network(plan) ? setns(NETWORK, CLONE_NEWNET) : unshare(CLONE_NEWNET);
  if (entered != 0) child_fail(WIRE_STAGE_NETWORK);
  if ((plan->namespaces & WIRE_NS_LOOPBACK) != 0) raise_loopback();
}

bool may_share_network(const struct wire_plan *plan) {
  return host.has_network && (plan->namespaces & WIRE_NS_NETWORK_OWN) == 0 &&
         (host.landlock.scoped & plan->landlock_scope & LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET) != 0;
}

/* Steps 3, 5 and 10. `mtime` and `ctime` change with content, mode and owner: nobody can put another file in its place.
 */
void same_stat(const struct stat *st, const struct wire_stamp *stamp, bool live) {
  const struct wire_stamp now = {
      .device = st->st_dev,
      .inode = st->st_ino,
      .size = (uint64_t)st->st_size,
      .mtime_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec,
      .ctime_ns = (uint64_t)st->st_ctim.tv_sec * 1000000000u + (uint64_t)st->st_ctim.tv_nsec,
  };
  size_t counted = S_ISDIR(st->st_mode) || live ? offsetof(struct wire_stamp, size) : sizeof now;
  if ((!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) || memcmp(&now, stamp, counted) != 0)
    child_refuse(WIRE_STAGE_EXECUTABLE, ESTALE);
}

void same_file(int fd, const struct wire_stamp *stamp) {
  struct stat st;
  if (fstat(fd, &st) != 0) child_fail(WIRE_STAGE_EXECUTABLE);
  same_stat(&st, stamp, false);
}

/* In the new root. Never by a link of /proc/self/fd: our own descriptors are still there, and lead out of it (C24). */
static int open_in_root(const char *path, uint64_t flags, uint64_t resolve, uint32_t stage) {
  struct open_how how = {.flags = flags | O_PATH | O_CLOEXEC, .resolve = resolve | RESOLVE_NO_MAGICLINKS};
  int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  if (fd < 0) child_fail(stage);
  return fd;
}

static int open_executable(void) {
  int fd = open_in_root(executable_path, 0, RESOLVE_NO_SYMLINKS, WIRE_STAGE_EXECUTABLE);
  same_file(fd, &child.stamp);
  return fd;
}

static void enter_working_directory(void) {
  int fd = open_in_root(working_directory, O_DIRECTORY, 0, WIRE_STAGE_MOUNT);
  if (fchdir(fd) != 0) child_fail(WIRE_STAGE_MOUNT);
  close(fd);
}

/* Step 7, second half. The inputs take the places behind the executable, which nothing needs any more. */
static int keep_descriptors(const struct start *start, int executable) {
  if (dup3(executable, EXECUTABLE, O_CLOEXEC) < 0) child_fail(WIRE_STAGE_STDIO);
  for (uint32_t i = 0; i < start->input_count; i++)
    if (dup2(start->stdio[3 + i], (int)(WIRE_FIRST_INPUT + i)) < 0) child_fail(WIRE_STAGE_STDIO);
  uint32_t end = WIRE_FIRST_INPUT + start->input_count;
  if (child.terminal >= 0 && (child.terminal = dup3(child.terminal, (int)end++, O_CLOEXEC)) < 0)
    child_fail(WIRE_STAGE_STDIO);
  if (syscall(SYS_close_range, end, ~0u, 0) != 0) child_fail(WIRE_STAGE_STDIO);
  return EXECUTABLE;
}

/* Rights that this kernel does not know are left out (`features_of` says what is in force), and at what is no directory
 * those that the kernel refuses there. */
static void add_path_rule(int ruleset, uint64_t access, int fd) {
  const uint64_t of_files = 0xc007; /* execute, write, read, truncate, ioctl */
  struct stat st;
  struct landlock_path_rule rule = {.allowed_access = access & host.landlock.handled_access_fs, .parent_fd = fd};
  if (fstat(fd, &st) != 0) child_fail(WIRE_STAGE_LANDLOCK);
  if (!S_ISDIR(st.st_mode)) rule.allowed_access &= of_files;
  if (rule.allowed_access == 0) return;
  if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH, &rule, 0) != 0 && errno != EBADFD)
    child_fail(WIRE_STAGE_LANDLOCK); /* EBADFD: a memfd, which the kernel restricts for nobody */
}

/* So that /dev/stdout can be opened again as what it is. Pipes and sockets need no rule. */
static void add_stdio_rules(int ruleset) {
  const uint64_t accesses[] = {0x4, 0x4002, 0x4006}; /* by O_RDONLY, O_WRONLY, O_RDWR */
  struct stat st;
  for (int fd = 0; fd < 3; fd++) {
    int mode = fcntl(fd, F_GETFL) & O_ACCMODE;
    if (mode > O_RDWR || fstat(fd, &st) != 0) child_fail(WIRE_STAGE_LANDLOCK);
    if (S_ISREG(st.st_mode) || S_ISCHR(st.st_mode)) add_path_rule(ruleset, accesses[mode], fd);
  }
}

/* Step 3, last part. */
static void make_ruleset(struct cursor *c, const struct wire_plan *plan) {
  static char path[4096];
  struct landlock_ruleset attr = {.handled_access_fs = plan->landlock_fs & host.landlock.handled_access_fs,
                                  .handled_access_net = plan->landlock_net & host.landlock.handled_access_net,
                                  .scoped = plan->landlock_scope & host.landlock.scoped};
  bool any = attr.handled_access_fs != 0 || attr.handled_access_net != 0 || attr.scoped != 0;
  int ruleset = any ? (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0) : -1;
  if (any && ruleset < 0) child_fail(WIRE_STAGE_LANDLOCK);
  for (uint16_t i = 0; i < plan->landlock_path_count; i++) {
    uint64_t access = take_u64(c);
    take_text(c, take_u16(c), path, sizeof path);
    int fd = any && !c->bad ? open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd >= 0) add_path_rule(ruleset, access, fd);
    if (fd < 0 && any && errno != ENOENT) child_fail(WIRE_STAGE_LANDLOCK); /* an optional mount may be missing */
    if (fd >= 0) close(fd);
  }
  for (uint16_t i = 0; i < plan->landlock_port_count; i++) {
    struct landlock_port_rule rule = {.allowed_access = take_u64(c) & attr.handled_access_net, .port = take_u16(c)};
    if (rule.allowed_access != 0 && syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PORT, &rule, 0) != 0)
      child_fail(WIRE_STAGE_LANDLOCK);
  }
  if (c->bad) child_refuse(WIRE_STAGE_LANDLOCK, EBADMSG);
  child.ruleset = ruleset;
}

/* Step 7, first half. What this run alone has joins the rules. */
static void enter_landlock(const struct wire_plan *plan) {
  bool files = (plan->landlock_fs & host.landlock.handled_access_fs) != 0;
  for (uint16_t i = 0; i < child.command.bind_count && files; i++)
    if (child.bound[i].access != 0) add_path_rule(child.ruleset, child.bound[i].access, child.bound[i].fd);
  if (files) add_stdio_rules(child.ruleset);
  if (child.ruleset >= 0 && syscall(SYS_landlock_restrict_self, child.ruleset, 0) != 0) child_fail(WIRE_STAGE_LANDLOCK);
  if (child.ruleset >= 0) close(child.ruleset);
}

void set_signals(int how) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(how, &all, NULL);
}

/* ---- services ---- */

/*
 * Steps 7, 8 and 10 of a service. Its channels are made here, after the drop: who passes one of them to a stranger who
 * asks SO_PEERCRED shows the service's ids, never root's. The exec below waits for the launcher's answer on the
 * listener; the launcher then closes it, and every later execve in this process ends with ENOSYS.
 */
static _Noreturn void start_service(struct start *start, const struct wire_plan *plan, int executable) {
  int up[2] = {-1, -1}, peer[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, up) != 0) child_fail(WIRE_STAGE_STDIO);
  if (start->makes_peer && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, peer) != 0) child_fail(WIRE_STAGE_STDIO);
  const int fds[3] = {up[0], child_seccomp(&start->plan, plan), peer[0]};
  if (!send_descriptors(GATE, "U", 1, fds, start->makes_peer ? 3 : 2)) child_fail(WIRE_STAGE_STDIO);
  /* To where Node finds them: 3 launcher, 4 the other service, 5 the broker's listener. */
  if (dup2(up[1], 3) < 0 || dup2(start->makes_peer ? peer[1] : INHERIT, 4) < 0) _exit(125);
  if (start->makes_peer ? dup2(INHERIT, 5) < 0 : close(5) != 0) _exit(125);
  executable = dup3(executable, 6, O_CLOEXEC);
  if (executable < 0 || syscall(SYS_close_range, 7u, ~0u, 0) != 0) _exit(125);
  set_signals(SIG_UNBLOCK);
  same_file(executable, &child.stamp);
  syscall(SYS_execveat, executable, "", child.argv, child.envp, AT_EMPTY_PATH);
  _exit(126);
}

/* Steps 7, 8 and 10 of a relay. It waits for its run behind its exec, and shuts itself in further there. */
static _Noreturn void start_relay(struct start *start, const struct wire_plan *plan, int executable) {
  if (dup2(GATE, 0) < 0) child_fail(WIRE_STAGE_STDIO);
  executable = keep_descriptors(start, executable);
  (void)child_seccomp(&start->plan, plan);
  same_file(executable, &child.stamp);
  syscall(SYS_execveat, executable, "", child.argv, child.envp, AT_EMPTY_PATH);
  _exit(126);
}

_Noreturn void service_begin(struct start *start, const struct wire_plan *plan, int gate, int inherit) {
  take_stdio(start, plan);
  child_begin(gate, inherit);
  child.reports = start->relay;
  sandbox_enter(start, plan);
}

void sandbox_shape(struct start *start, const struct wire_plan *plan) {
  struct cursor rest = start->plan;
  enter_network(plan);
  (void)take(&rest, plan->rlimit_count * sizeof(struct wire_rlimit));
  child_mounts(&rest, plan, start->template);
  make_ruleset(&rest, plan);
  child.shaped = (size_t)(rest.at - start->plan.at);
}

_Noreturn void sandbox_enter(struct start *start, const struct wire_plan *plan) {
  child.service = start->service;
  read_command(&start->command);
  if (!host.privileged && !start->service) child_user_namespace(&child.command);
  if (start->service && (plan->namespaces & WIRE_NS_CGROUP) != 0 && unshare(CLONE_NEWCGROUP) != 0)
    child_fail(WIRE_STAGE_CGROUP); /* a run has its own from the start */
  if (child.shaped == 0) sandbox_shape(start, plan);
  if (child.keys >= 0 && child.terminal < 0) child_fail(WIRE_STAGE_STDIO); /* the plan has no place for it */
  child_limits(&start->plan, plan);
  start->plan.at += child.shaped - plan->rlimit_count * sizeof(struct wire_rlimit);
  int executable = open_executable();
  if (host.privileged || !start->service) child_identity(plan, &child.command, groups);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY); /* ids are set: it stays */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY);
  enter_working_directory();
  enter_landlock(plan);
  if (start->relay) start_relay(start, plan, executable);
  if (start->service) start_service(start, plan, executable);
  executable = keep_descriptors(start, executable);
  (void)child_seccomp(&start->plan, plan);
  run_command(executable);
}
