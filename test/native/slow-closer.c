/*
 * slow-closer.c: a busy host, for some processes. `slow-closer MILLISECONDS PID…` holds each of them for so long when it
 * is about to close a pidfd, until it is killed itself.
 */
#define _GNU_SOURCE
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/ptrace.h>

static int is_pidfd(pid_t pid, unsigned long long fd) {
  char path[64], name[64] = "";
  snprintf(path, sizeof path, "/proc/%d/fd/%llu", (int)pid, fd);
  return readlink(path, name, sizeof name - 1) > 0 && strstr(name, "pidfd") != NULL;
}

static void hold(pid_t pid, useconds_t wait_us) {
  struct ptrace_syscall_info info;
  int status;
  if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)PTRACE_O_TRACESYSGOOD) != 0) err(2, "ptrace");
  if (ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0) err(2, "ptrace");
  while (waitpid(pid, &status, 0) == pid && WIFSTOPPED(status)) {
    int number = WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == (SIGTRAP | 0x80) ? 0 : WSTOPSIG(status);
    if (WSTOPSIG(status) == (SIGTRAP | 0x80) &&
        ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0 && info.op == PTRACE_SYSCALL_INFO_ENTRY &&
        info.entry.nr == SYS_close && is_pidfd(pid, info.entry.args[0]))
      usleep(wait_us);
    if (ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(long)number) != 0) break;
  }
  _exit(0);
}

int main(int argc, char **argv) {
  for (int i = 2; i < argc; i++)
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      hold(atoi(argv[i]), (useconds_t)atoi(argv[1]) * 1000);
    }
  puts("held");
  fflush(stdout);
  while (wait(NULL) > 0) continue;
  return 0;
}
