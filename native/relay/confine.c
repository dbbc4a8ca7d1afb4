/*
 * confine.c: what the relay takes away from itself before it reads anything of its run.
 *
 * Behind it already: an id of its own, no capability, no_new_privs, Landlock without a path but its own program, the
 * deny list of runs (`planForRelay`); the file of a recording is open. Here the list turns round: these calls, and
 * whoever makes another is killed. There is none that opens, connects, sends a descriptor, starts or signals a process,
 * or maps memory; of ioctl(2) those two that read and set the size of a terminal.
 */
#include "confine.h"

#include <stddef.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#ifdef __x86_64__
#define MACHINE AUDIT_ARCH_X86_64
#else
#define MACHINE AUDIT_ARCH_AARCH64
#endif

#define ALLOW_VALUE(value)                                                                                             \
  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define ALLOW(number) ALLOW_VALUE(SYS_##number)

static void limit(int resource, rlim_t most) {
  const struct rlimit value = {most, most};
  if (setrlimit(resource, &value) != 0) _exit(125);
}

void confine(void) {
  struct sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MACHINE, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)), /* x32 numbers equal none below */
      ALLOW(read),
      ALLOW(write),
      ALLOW(pwritev2),
      ALLOW(ppoll),
      ALLOW(recvmsg),
      ALLOW(close),
      ALLOW(ftruncate),
      ALLOW(clock_gettime), /* where the vDSO cannot tell the time */
      ALLOW(setitimer),
      ALLOW(rt_sigreturn),
      ALLOW(restart_syscall),
      ALLOW(exit_group),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])), /* the kernel takes 32 bits of it */
      ALLOW_VALUE(TIOCGWINSZ),
      ALLOW_VALUE(TIOCSWINSZ),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
  limit(RLIMIT_NOFILE, 11); /* 0 to 2, the six that come, a recording, and the master of a terminal */
  limit(RLIMIT_NPROC, 0);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_DATA, 1u << 20);
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) _exit(125); /* exec made us readable to others of our id */
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(125);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) _exit(125);
}
