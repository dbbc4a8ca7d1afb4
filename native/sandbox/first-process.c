/*
 * first-process.c: steps 9 and 10 of sandbox.c. The first process of a run's pid namespace: starts the command, passes
 * signals on, reaps, reports the end. When it ends, the kernel ends whatever else the run has left.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"

static volatile int exec_errno = -1; /* -1: exec was not tried; if there is a report of why, it was sent */
static volatile int stop_put_off;    /* SIGTSTP, if it came before the exec */

static void put_off(int number) { stop_put_off = number; }

/* Step 9. End of file means that the launcher let go of the run: nothing may start then. */
static void wait_at_gate(void) {
  char byte = 0;
  ssize_t n;
  do n = recv(GATE, &byte, 1, 0);
  while (n < 0 && errno == EINTR);
  if (n != 1 || byte != 'G') _exit(125);
}

/* vfork: the child borrows our memory until it has exec'd, so it changes nothing but what is volatile. It is there
 * before the gate opens, for between that and the exec nothing is to be done that can be done ahead. What is typed at
 * its terminal may end it at once; stopped before its exec, it would hold us, who are to hear of that, in vfork(2). */
static pid_t start_command(int executable) {
  pid_t pid = vfork();
  if (pid == 0) {
    if (!terminal_join()) child_fail(WIRE_STAGE_CLONE);
    (void)sigaction(SIGTSTP, &(const struct sigaction){.sa_handler = put_off}, NULL); /* until the exec */
    if (child.terminal < 0) wait_at_gate();
    same_file(executable, &child.stamp);
    binds_in_place();
    exec_errno = 0;
    set_signals(SIG_UNBLOCK);
    syscall(SYS_execveat, executable, "", child.argv, child.envp, AT_EMPTY_PATH);
    exec_errno = errno;
    _exit(125);
  }
  if (pid < 0) child_fail(WIRE_STAGE_CLONE);
  return pid;
}

static _Noreturn void tell_end(int status, const struct rusage *usage) {
  char byte;
  if (exec_errno < 0) _exit(125);
  if (exec_errno != 0) {
    errno = exec_errno;
    child_fail(WIRE_STAGE_EXEC);
  }
  struct wire_exited report = {
      .kind = WIFSIGNALED(status) ? WIRE_END_SIGNALLED : WIRE_END_EXITED,
      .value = (uint32_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status)),
      .user_us = (uint64_t)usage->ru_utime.tv_sec * 1000000u + (uint64_t)usage->ru_utime.tv_usec,
      .system_us = (uint64_t)usage->ru_stime.tv_sec * 1000000u + (uint64_t)usage->ru_stime.tv_usec,
      .max_rss_kib = (uint64_t)usage->ru_maxrss,
  };
  (void)!send(GATE, &report, sizeof report, MSG_NOSIGNAL);
  (void)!recv(GATE, &byte, 1, 0); /* the launcher answers the client first: then it lets us and our namespaces go */
  _exit(0);
}

/* Reaps the command's orphans too, and ends with the command itself. Who is at the terminal hears that it was stopped.
 */
static void reap(pid_t command) {
  int status;
  struct rusage usage;
  pid_t ended;
  while ((ended = wait4(-1, &status, WNOHANG | WUNTRACED, &usage)) > 0)
    if (ended == command && WIFSTOPPED(status))
      terminal_tell(WSTOPSIG(status));
    else if (ended == command)
      tell_end(status, &usage);
}

_Noreturn void run_command(int executable) {
  sigset_t all;
  siginfo_t info;
  if (child.terminal >= 0) { /* the client is told first, by us, for the command's parent sleeps until it has exec'd */
    wait_at_gate();
    terminal_tell(0);
  }
  pid_t command = start_command(executable);
  unsigned last = child.terminal < 0 ? ~0u : (unsigned)child.terminal - 1;
  /* Nothing of the client's stays open here, or a pipe's reader would wait for us. */
  if (syscall(SYS_close_range, 0u, 2u, 0) != 0 || syscall(SYS_close_range, executable, last, 0) != 0)
    child_fail(WIRE_STAGE_STDIO);
  if (stop_put_off != 0) (void)kill(-command, stop_put_off);
  sigfillset(&all);
  /* All are blocked, so that none is lost: for the first process of a namespace the kernel drops what has no handler.
   */
  for (;;) {
    int number = sigwaitinfo(&all, &info);
    if (number == SIGCHLD) reap(command);
    if (number <= 0 || number == SIGCHLD || info.si_pid != 0) continue;
    /* From outside: the launcher passes a client's signal on; or our terminal hangs up. */
    if (number == SIGCONT) terminal_give(command);
    (void)kill(child.terminal < 0 ? command : -command, number);
  }
}
