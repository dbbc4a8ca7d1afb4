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

uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

uint64_t wall_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

uint64_t now_ms(void) { return now_us() / 1000u; }

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

/* Moves a descriptor to its place. */
static bool put(int fd, enum place place) {
  bool done = fd >= 0 && dup3(fd, (int)place, O_CLOEXEC) >= 0;
  if (fd >= 0) close(fd);
  return done;
}

/* An empty network namespace, made once: making one for each run costs more than all other walls together. */
static void open_network(void) {
  int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0 || unshare(CLONE_NEWNET) != 0) {
    if (home >= 0) close(home);
    return;
  }
  host.has_network = put(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), NETWORK);
  if (setns(home, CLONE_NEWNET) != 0) die("leave the empty network namespace");
  close(home);
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

static uint64_t inode_of(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? st.st_ino : 0;
}

void host_detect(void) {
  host.uid = geteuid();
  host.gid = getegid();
  host.privileged = host.uid == 0;
  for (int resource = 0; resource < RLIM_NLIMITS; resource++)
    if (getrlimit(resource, &host.limits[resource]) != 0) die("getrlimit");
  if (!schedule_shortly()) die("sched_setattr");
  host.user_namespace = inode_of("/proc/self/ns/user");
  host.pid_namespace = inode_of("/proc/self/ns/pid");
  /* Without one of these no run starts, and so we do not (`try_namespaces`; services need the others). */
  host.features = WIRE_FEATURE_PID_NAMESPACE | WIRE_FEATURE_MOUNT_NAMESPACE | WIRE_FEATURE_IPC_NAMESPACE |
                  WIRE_FEATURE_UTS_NAMESPACE | WIRE_FEATURE_NETWORK_NAMESPACE | WIRE_FEATURE_CGROUP_NAMESPACE |
                  WIRE_FEATURE_ROOT_READ_ONLY | WIRE_FEATURE_PRIVATE_TMP | WIRE_FEATURE_CAPABILITIES |
                  WIRE_FEATURE_NO_NEW_PRIVS | WIRE_FEATURE_SECCOMP | WIRE_FEATURE_RLIMITS;
  if (access("/usr/bin/xdg-dbus-proxy", X_OK) == 0) host.features |= WIRE_FEATURE_DBUS_FILTERED;
  if (!host.privileged) host.features |= WIRE_FEATURE_USER_NAMESPACE;
  detect_landlock();
  if (host.privileged) open_network();
  if (host.has_network && host.landlock.scoped != 0) host.features |= WIRE_FEATURE_NETWORK_SHARED_EMPTY;

  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
    int pidfd = -1;
    socklen_t size = sizeof pidfd;
    if (getsockopt(pair[0], SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0) {
      host.features |= WIRE_FEATURE_PEER_PIDFD;
      close(pidfd);
    }
    close(pair[0]);
    close(pair[1]);
  }
}

#define WIRE_FEATURES_OF_FILES                                                                                         \
  (WIRE_FEATURE_LANDLOCK_FILES | WIRE_FEATURE_LANDLOCK_TRUNCATE | WIRE_FEATURE_LANDLOCK_IOCTL)

/*
 * What is in force for a run of this plan once its command starts: every step of sandbox.c ends the run if it fails, so
 * each that the plan asks for and that the host has was taken (DESIGN.md promise 8).
 */
uint32_t features_of(const struct wire_plan *plan) {
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
  if (plan->landlock_fs != 0) features |= host.features & WIRE_FEATURES_OF_FILES;
  if (plan->landlock_net != 0) features |= host.features & WIRE_FEATURE_LANDLOCK_TCP;
  if (plan->rlimit_count > 0) features |= WIRE_FEATURE_RLIMITS;
  if ((plan->flags & WIRE_PLAN_PROXIED) != 0) features |= WIRE_FEATURE_DBUS_FILTERED;
  return features |
         (host.features & (WIRE_FEATURE_CGROUP_KILL | WIRE_FEATURE_CGROUP_LIMITS | WIRE_FEATURE_USER_NAMESPACE));
}
