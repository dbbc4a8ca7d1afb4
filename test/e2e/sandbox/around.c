/*
 * around.c: becomes another program, in surroundings that it should not notice, or on a kernel that lacks something.
 *
 *   around mask NR,NR… PROGRAM…       those system calls answer ENOSYS, here and in all that is started
 *   around option NUMBER PROGRAM…     getsockopt(2) does not know this option
 *   around descriptors COUNT PROGRAM…
 *   around terminal PROGRAM…          in a session with a controlling terminal
 *   around signals PROGRAM…           SIGPIPE and SIGUSR1 ignored, SIGUSR2 blocked
 *   around habits PROGRAM…            all that fork(2) and execve(2) hand on and that needs no right to be set: a key,
 *                                     a personality, and the like
 *
 * It keeps its process id: what PROGRAM… starts are the children of who was started here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/ioprio.h>
#include <linux/keyctl.h>
#include <linux/mempolicy.h>
#include <linux/seccomp.h>

#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67 /* Linux 6.4 */
#endif

#define NUMBER BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void install(struct sock_filter *program, size_t length) {
  struct sock_fprog filter = {.len = (unsigned short)length, .filter = program};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) fail("seccomp");
}

static void mask(char *numbers) {
  struct sock_filter program[130] = {NUMBER};
  size_t length = 1;
  for (char *at = strtok(numbers, ","); at != NULL && length < 128; at = strtok(NULL, ",")) {
    program[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)atoi(at), 0, 1);
    program[length++] = (struct sock_filter)RETURN(SECCOMP_RET_ERRNO | ENOSYS);
  }
  program[length++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
  install(program, length);
}

static void mask_option(unsigned number) {
  struct sock_filter program[] = {
      NUMBER,
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getsockopt, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      RETURN(SECCOMP_RET_ERRNO | ENOPROTOOPT),
      RETURN(SECCOMP_RET_ALLOW),
  };
  install(program, sizeof program / sizeof program[0]);
}

/* A child keeps the master's end, or the session would get SIGHUP when PROGRAM closes what it inherited. */
static void take_terminal(void) {
  int unlock = 0;
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) != 0) fail("/dev/ptmx");
  int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  if (setsid() < 0 && getsid(0) != getpid()) fail("setsid");
  if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0) != 0) fail("terminal");
  if (fork() != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int fd = 0; fd < 3; fd++) close(fd);
  for (;;) pause();
}

static void spoil_signals(void) {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGUSR2);
  sigprocmask(SIG_BLOCK, &blocked, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGUSR1, SIG_IGN);
}

static void write_to(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) perror(path);
  if (fd >= 0) close(fd);
}

static void take_habits(void) {
  const unsigned long node = 1;
  if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0) perror("keyring");
  long key = syscall(SYS_add_key, "user", "belladonna-test", "x", 1, KEY_SPEC_SESSION_KEYRING);
  if (syscall(SYS_keyctl, KEYCTL_SETPERM, key, 0x3f000000) != 0) perror("key"); /* for who possesses it only */
  write_to("/proc/self/oom_score_adj", "500");
  write_to("/proc/self/loginuid", "4321");
  if (personality(ADDR_NO_RANDOMIZE) < 0) perror("personality");
  if (prctl(PR_SET_TIMERSLACK, 123456, 0, 0, 0) != 0) perror("timer slack");
  if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0) perror("huge pages");
  if (prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_EARLY, 0, 0) != 0) perror("machine checks");
  if (prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) != 0) perror("memory merge");
  if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 7)) != 0) perror("ioprio");
  if (syscall(SYS_set_mempolicy, MPOL_BIND, &node, 8 * sizeof node) != 0) perror("mempolicy");
  if (sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}) != 0) perror("scheduler");
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  const char *what = argv[1];
  bool alone = strcmp(what, "terminal") == 0 || strcmp(what, "signals") == 0 || strcmp(what, "habits") == 0;
  char **program = argv + (alone ? 2 : 3);
  if (strcmp(what, "mask") == 0) mask(argv[2]);
  if (strcmp(what, "option") == 0) mask_option((unsigned)atoi(argv[2]));
  if (strcmp(what, "descriptors") == 0)
    for (int count = atoi(argv[2]); count > 0; count--)
      if (open("/dev/null", O_RDONLY) < 0) fail("/dev/null");
  if (strcmp(what, "terminal") == 0) take_terminal();
  if (strcmp(what, "signals") == 0) spoil_signals();
  if (strcmp(what, "habits") == 0) take_habits();
  execv(program[0], program);
  fail(program[0]);
}
