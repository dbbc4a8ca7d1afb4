/*
 * schedule.c: how the launcher, the services and what a run is built by get a processor, whatever the caller left.
 *
 * On a busy host a request waits for a processor at each of its seven steps from process to process. Each of ours works
 * for far less than a millisecond at a time, so they ask for that much, and the kernel lets them go first for it
 * (sched_setattr(2), Linux 6.12; before, it means nothing). Nothing of this is a command's: its first fork resets it.
 */
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel.h"
#include "sandbox.h"

#define SLICE_NS 100000u

bool schedule_shortly(void) {
  struct sched_attributes now = {0};
  cpu_set_t all;
  memset(&all, 0xff, sizeof all);
  (void)sched_setaffinity(0, sizeof all, &all); /* all that the host's cpuset has for us */
  if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) != 0) return false;
  struct sched_attributes wanted = {.size = sizeof wanted, .flags = SCHED_FLAG_RESET_ON_FORK, .nice = now.nice};
  wanted.runtime = SLICE_NS;
  if (now.nice < 0) wanted.nice = 0;
  /* Without a right to it a process may not leave SCHED_IDLE: then it stays as slow as its starter wanted. */
  return syscall(SYS_sched_setattr, 0, &wanted, 0) == 0 || now.nice >= 0;
}
