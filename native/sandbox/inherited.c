/*
 * inherited.c: what fork(2) and execve(2) hand on from whoever started the bridge, and what no step of sandbox.c sets
 * (C30). docs/reference/sandbox.md goes through the whole list.
 */
#include <fcntl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <linux/mempolicy.h>

#include "sandbox.h"

#define TIMER_SLACK_NS 50000 /* the kernel's own; 0 would be what was inherited */

/*
 * Once, by the launcher, for all that it clones. Nothing here needs a right but the login id, by which the kernel's
 * audit would put down to an administrator what others ask for. What a kernel does not have, or a filter around us
 * refuses, stays; but not a personality without protections of memory.
 */
bool forget_starter(void) {
  (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
  (void)prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
  (void)prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
  (void)prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0);
  (void)prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0);
  (void)syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0);
  (void)syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0);
  (void)write_text(AT_FDCWD, "/proc/self/loginuid", "4294967295"); /* of nobody */
  return personality(PER_LINUX) >= 0;
}

/* An empty one: what is asked of the kernel's keys in a run's name (NFS, AFS, CIFS) finds none of another's. */
bool join_keyring(void) { return syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) >= 0; }
