/*
 * harness UID GID ROUNDS WARMUP PARALLEL BATCH -- COMMAND… -- COMMAND…: whole commands, in turns.
 *
 * Becomes UID and GID without groups, leaves the terminal, and then, ROUNDS times, runs each COMMAND once in an order
 * that rotates. What is measured is vfork(2) up to the end that wait4(2) reports. With PARALLEL > 1 a turn is BATCH
 * runs of which PARALLEL are under way at a time, and the time is the whole batch's.
 *
 * Prints a line for each round after the first WARMUP: for each COMMAND "NANOSECONDS:STATUS", where STATUS is 0 to 255,
 * 256 + n for signal n; of a batch, that of a run that differs from the first, if one does.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_COMMANDS 16

static char *const environment[] = {"PATH=/usr/bin:/bin", "LANG=C.UTF-8", NULL};
static char **commands[MAX_COMMANDS];
static volatile int exec_error; /* written by a vfork child */

static int messages = STDERR_FILENO;

static void fail(const char *what) {
  dprintf(messages, "harness: %s: %s\n", what, strerror(errno));
  exit(2);
}

static long number(const char *text) {
  char *end;
  errno = EINVAL;
  long value = strtol(text, &end, 10);
  if (end == text || *end != '\0' || value < 0) fail(text);
  return value;
}

static uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void start(char **command) {
  pid_t pid = vfork();
  if (pid == 0) {
    execve(command[0], command, environment);
    exec_error = errno;
    _exit(127);
  }
  if (pid < 0) fail("vfork");
  errno = exec_error;
  if (errno != 0) fail(command[0]);
}

static int await(void) {
  int status;
  while (wait4(-1, &status, 0, NULL) < 0)
    if (errno != EINTR) fail("wait4");
  return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

/* Runs `command` `batch` times, `parallel` at a time. */
static int turn(char **command, long parallel, long batch) {
  int status = -1;
  long started = 0;
  for (long ended = 0; ended < batch; ended++) {
    while (started < batch && started - ended < parallel) {
      start(command);
      started++;
    }
    int one = await();
    if (status == -1 || (ended > 0 && one != status)) status = one;
  }
  return status;
}

static void become(uid_t uid, gid_t gid) {
  int null = open("/dev/null", O_RDWR);
  if (null < 0 || dup2(null, STDIN_FILENO) < 0) fail("/dev/null");
  if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0) fail("identity");
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0) {
    errno = EPERM;
    fail("no_new_privs is set: sudo and doas cannot work here");
  }
  (void)setsid(); /* fails for a group leader, which then has no terminal to lose either */
  if (chdir("/") != 0) fail("/");
}

int main(int argc, char **argv) {
  int count = 0;
  if (argc < 9) {
    fputs("usage: harness UID GID ROUNDS WARMUP PARALLEL BATCH -- COMMAND... [-- COMMAND...]\n", stderr);
    return 2;
  }
  for (int i = 7; i < argc; i++) {
    if (strcmp(argv[i], "--") != 0) continue;
    if (count == MAX_COMMANDS || i + 1 >= argc) return 2;
    argv[i] = NULL;
    commands[count++] = argv + i + 1;
  }
  long rounds = number(argv[3]), warm_up = number(argv[4]), parallel = number(argv[5]), batch = number(argv[6]);
  become((uid_t)number(argv[1]), (gid_t)number(argv[2]));

  /* What commands print is part of what they do; where it goes is not our business. */
  int report = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  FILE *out = report < 0 ? NULL : fdopen(report, "w");
  if (out == NULL || dup2(STDIN_FILENO, STDOUT_FILENO) < 0) fail("stdout");
  messages = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  if (messages < 0 || dup2(STDIN_FILENO, STDERR_FILENO) < 0) fail("stderr");

  for (long round = 0; round < warm_up + rounds; round++) {
    uint64_t elapsed[MAX_COMMANDS];
    int status[MAX_COMMANDS];
    for (int i = 0; i < count; i++) {
      int at = (int)((round + i) % count);
      uint64_t from = now_ns();
      status[at] = turn(commands[at], parallel, batch);
      elapsed[at] = now_ns() - from;
    }
    if (round < warm_up) continue;
    for (int i = 0; i < count; i++)
      fprintf(out, "%s%llu:%d", i == 0 ? "" : " ", (unsigned long long)elapsed[i], status[i]);
    fputc('\n', out);
  }
  return fclose(out) == 0 ? 0 : 2;
}
