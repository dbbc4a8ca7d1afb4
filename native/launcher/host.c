/*
 * host.c: what this kernel and this host can enforce, found out once at start, by trying (DESIGN.md promise 8).
 *
 * Trusted: /proc and /sys as the kernel shows them. Who could change those files already owns the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../sandbox/kernel.h"
#include "launcher.h"

struct host host;
struct supervisor supervisor;

static uint64_t clock_us(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t now_us(void) { return clock_us(CLOCK_MONOTONIC); }
uint64_t now_ms(void) { return now_us() / 1000u; }
uint64_t wall_ms(void) { return clock_us(CLOCK_REALTIME) / 1000u; }

void note(const char *text) {
  char line[512];
  int n = snprintf(line, sizeof line, "belladonna-launcher: %s\n", text);
  if (n > 0) (void)!write(2, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

_Noreturn void die(const char *what) {
  char text[448];
  snprintf(text, sizeof text, "%s: %s", what, strerror(errno));
  note(text);
  cgroups_close();
  _exit(1);
}

void tell_supervisor(const char *words) {
  int fd = supervisor.size == 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return;
  (void)sendto(fd, words, strlen(words), MSG_NOSIGNAL, supervisor.address, supervisor.size);
  close(fd);
}

/* An empty network namespace, made once: making one for each run costs more than all other walls together. */
static void open_network(void) {
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  const bool away = home >= 0 && unshare(CLONE_NEWNET) == 0;
  int empty = away ? open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC) : -1;
  host.has_network = dup3(empty, NETWORK, O_CLOEXEC) == NETWORK;
  if (away && setns(home, CLONE_NEWNET) != 0) die("leave the empty network namespace");
  close_fd(&empty);
  close_fd(&home);
}

/* What each version of Landlock brought (landlock(7)). Not version 1: it refuses every move between directories. */
static void detect_landlock(void) {
  long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi >= 2) host.landlock.handled_access_fs = abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : 0x3fff;
  if (abi >= 4) host.landlock.handled_access_net = 3;
  if (abi >= 6) host.landlock.scoped = LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL;
  if (abi >= 2) host.features |= WIRE_FEATURE_LANDLOCK_FILES;
  if (abi >= 3) host.features |= WIRE_FEATURE_LANDLOCK_TRUNCATE;
  if (abi >= 4) host.features |= WIRE_FEATURE_LANDLOCK_TCP;
  if (abi >= 5) host.features |= WIRE_FEATURE_LANDLOCK_IOCTL;
  if (abi >= 6) host.features |= WIRE_FEATURE_LANDLOCK_SCOPE;
}

uint64_t inode_of(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? st.st_ino : 0;
}

void host_detect(void) {
  char adjustment = 0;
  host.uid = geteuid();
  host.gid = getegid();
  host.privileged = host.uid == 0;
  for (int resource = 0; resource < RLIM_NLIMITS; resource++)
    if (getrlimit(resource, &host.limits[resource]) != 0) die("getrlimit");
  if (!schedule_shortly()) die("sched_setattr");
  host.adjusted = read_text(AT_FDCWD, "/proc/self/oom_score_adj", &adjustment, 1) == 1 && adjustment != '0';
  host.user_namespace = inode_of("/proc/self/ns/user");
  host.pid_namespace = inode_of("/proc/self/ns/pid");
  /* Without one of these no run starts, and so we do not (`try_namespaces`; services need the others). */
  host.features = WIRE_FEATURE_PID_NAMESPACE | WIRE_FEATURE_MOUNT_NAMESPACE | WIRE_FEATURE_IPC_NAMESPACE |
                  WIRE_FEATURE_UTS_NAMESPACE | WIRE_FEATURE_NETWORK_NAMESPACE | WIRE_FEATURE_CGROUP_NAMESPACE |
                  WIRE_FEATURE_ROOT_READ_ONLY | WIRE_FEATURE_PRIVATE_TMP | WIRE_FEATURE_CAPABILITIES |
                  WIRE_FEATURE_NO_NEW_PRIVS | WIRE_FEATURE_SECCOMP | WIRE_FEATURE_RLIMITS | WIRE_FEATURE_RECORDED;
  if (access("/usr/bin/xdg-dbus-proxy", X_OK) == 0) host.features |= WIRE_FEATURE_DBUS_FILTERED;
  if (!host.privileged) host.features |= WIRE_FEATURE_USER_NAMESPACE;
  if (join_keyring()) host.features |= WIRE_FEATURE_SESSION_KEYRING;
  detect_landlock();
  if (host.privileged) open_network();
  if (host.has_network && host.landlock.scoped != 0) host.features |= WIRE_FEATURE_NETWORK_SHARED_EMPTY;

  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), pidfd = -1;
  socklen_t size = sizeof pidfd;
  /* It has no peer, but could have. */
  if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0 || errno != ENOPROTOOPT)
    host.features |= WIRE_FEATURE_PEER_PIDFD;
  close(fd);
}

/*
 * What is in force for a run of this plan once its command starts: every step of sandbox.c ends the run if it fails, so
 * each that the plan asks for and that the host has was taken (DESIGN.md promise 8).
 */
uint32_t features_of(const struct wire_plan *plan) {
  const bool shared = (plan->namespaces & WIRE_NS_NETWORK) != 0 && may_share_network(plan);
  const uint32_t how = WIRE_FEATURE_USER_NAMESPACE | (shared ? WIRE_FEATURE_NETWORK_SHARED_EMPTY : 0u);
  return host.features & (plan->features | how);
}
