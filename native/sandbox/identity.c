/* identity.c: steps 2, 4, 6 and 8 of sandbox.c: limits, ids, capabilities, seccomp. Every call is checked. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/securebits.h>

#include "sandbox.h"

/* Unprivileged mode: whoever the action runs as inside is the caller outside, and nobody else exists. */
void child_user_namespace(const struct wire_command *command) {
  char map[64];
  /* Until the maps are written: /proc/self of an undumpable process is root's. */
  if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY);
  (void)write_text(AT_FDCWD, "/proc/self/oom_score_adj", "0"); /* as in spare.c, which without a right may not */
  snprintf(map, sizeof map, "%u %u 1", command->uid, (unsigned)host.uid);
  if (write_text(AT_FDCWD, "/proc/self/uid_map", map) != 0) child_fail(WIRE_STAGE_IDENTITY);
  if (write_text(AT_FDCWD, "/proc/self/setgroups", "deny") != 0) child_fail(WIRE_STAGE_IDENTITY);
  snprintf(map, sizeof map, "%u %u 1", command->gid, (unsigned)host.gid);
  if (write_text(AT_FDCWD, "/proc/self/gid_map", map) != 0) child_fail(WIRE_STAGE_IDENTITY);
}

void child_limits(struct cursor *c, const struct wire_plan *plan) {
  struct wire_rlimit limit;
  for (uint16_t i = 0; i < plan->rlimit_count; i++) {
    if (!take_into(c, &limit, sizeof limit)) child_refuse(WIRE_STAGE_LIMITS, EBADMSG);
    struct rlimit value = {.rlim_cur = limit.soft, .rlim_max = limit.hard};
    const struct rlimit *now = &host.limits[limit.resource % RLIM_NLIMITS];
    /* Without CAP_SYS_RESOURCE a hard limit can only fall: the lower of the two holds. */
    if (value.rlim_max > now->rlim_max) value.rlim_max = now->rlim_max;
    if (value.rlim_cur > value.rlim_max) value.rlim_cur = value.rlim_max;
    if (value.rlim_cur == now->rlim_cur && value.rlim_max == now->rlim_max) continue;
    if (setrlimit((int)limit.resource, &value) != 0) child_fail(WIRE_STAGE_LIMITS);
  }
  umask((mode_t)(plan->umask & 0777u));
}

/* The kept capabilities in permitted, effective and inheritable; the bounding set is down to them already. */
static void set_capabilities(uint64_t kept) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  for (int half = 0; half < 2; half++) {
    uint32_t bits = (uint32_t)(kept >> (32 * half));
    data[half].effective = data[half].permitted = data[half].inheritable = bits;
  }
  if (syscall(SYS_capset, &header, data) != 0) child_fail(WIRE_STAGE_IDENTITY);
  for (unsigned capability = 0; capability < 64; capability++)
    if ((kept >> capability & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) != 0)
      child_fail(WIRE_STAGE_IDENTITY);
}

/* A spare calls it ahead, with what any profile keeps; the run again, with what its own does. */
void child_bounding(uint64_t kept) {
  static uint64_t fallen;
  for (unsigned capability = 0; capability < 64; capability++) {
    uint64_t bit = (uint64_t)1 << capability;
    if (((kept | fallen) & bit) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
      fallen |= bit;
    else if (errno == EINVAL)
      break; /* past the newest capability of this kernel */
    else
      child_fail(WIRE_STAGE_IDENTITY);
  }
}

/*
 * Order: the bounding set falls while CAP_SETPCAP is there; groups before ids; NOROOT so that uid 0 gets nothing at
 * exec; KEEP_CAPS so that a kept capability survives setresuid(2); then the sets themselves.
 */
void child_identity(const struct wire_plan *plan, const struct wire_command *command, const gid_t *groups) {
  const unsigned long bits = SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS;
  child_bounding(plan->capabilities);
  if (prctl(PR_SET_SECUREBITS, bits, 0, 0, 0) != 0) child_fail(WIRE_STAGE_IDENTITY);
  const gid_t gid = command->gid;
  const uid_t uid = command->uid;
  /* Not by the libc's functions: those stop all threads first, which costs six calls each, and here is one thread. */
  if (host.privileged && syscall(SYS_setgroups, command->group_count, groups) != 0) child_fail(WIRE_STAGE_IDENTITY);
  if (syscall(SYS_setresgid, gid, gid, gid) != 0) child_fail(WIRE_STAGE_IDENTITY);
  if (syscall(SYS_setresuid, uid, uid, uid) != 0) child_fail(WIRE_STAGE_IDENTITY);
  set_capabilities(plan->capabilities);
}

/* Loads the program behind the mounts of the plan. A service's program reports its first exec to a listener. */
int child_seccomp(struct cursor *c, const struct wire_plan *plan) {
  static struct sock_filter program[4096];
  const bool whole = take_into(c, program, plan->seccomp_count * sizeof program[0]);
  if (!whole || c->at != c->end || plan->seccomp_count == 0) child_refuse(WIRE_STAGE_SECCOMP, EBADMSG);
  struct sock_fprog filter = {.len = plan->seccomp_count, .filter = program};
  unsigned long flags = (plan->flags & WIRE_PLAN_NO_EXEC) != 0 ? SECCOMP_FILTER_FLAG_NEW_LISTENER : 0;
  long listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (listener < 0) child_fail(WIRE_STAGE_SECCOMP);
  return flags == 0 ? -1 : (int)listener;
}
