/*
 * terminal.c: reads the caller's terminal for a run that has one of its own, and gives it back as it was.
 *
 * Only bell reads it, and only while it is in the foreground: the bridge's processes are not in this session, so the
 * kernel would not keep them from taking what is typed at the caller's shell. What the run says goes to the terminal
 * without us.
 */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#define LOOK_EVERY_MS 200 /* whether a shell has put us into the foreground: it need not say so */

static int tty = -1, keys = -1;
static bool wanted; /* what is typed is for the run */
static bool raw;
static struct termios settings; /* while `raw`: those that were there before */
static char typed[4096];
static size_t at, size;

/* Never, of a terminal that is not our controlling terminal: the kernel would let us read what is another session's. */
static bool in_foreground(void) { return tcgetpgrp(tty) == getpgrp(); }

void terminal_begin(int for_keys) {
  keys = for_keys;
  for (int fd = STDERR_FILENO; fd >= STDIN_FILENO; fd--)
    if (isatty(fd)) tty = fd;
  wanted = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO); /* else another of the pipeline may be reading */
  terminal_take();
}

void terminal_take(void) {
  struct termios now;
  if (raw || !wanted || keys < 0 || tty < 0 || !in_foreground() || tcgetattr(tty, &now) != 0) return;
  settings = now;
  cfmakeraw(&now);
  raw = tcsetattr(tty, TCSANOW, &now) == 0; /* TCSADRAIN would wait for a terminal that is held by Ctrl-S */
}

void terminal_leave(void) {
  if (raw && in_foreground()) (void)tcsetattr(tty, TCSANOW, &settings);
  raw = false;
}

/* `number` is a stop signal; all of our process group stops, or we alone. */
static void stop(int number, pid_t whom) {
  sigset_t set;
  terminal_leave();
  sigemptyset(&set);
  sigaddset(&set, number);
  (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
  (void)kill(whom, number);
  if (number == SIGTSTP) (void)sigprocmask(SIG_BLOCK, &set, NULL);
  terminal_take();
}

void terminal_suspend(void) { stop(SIGTSTP, getpid()); }

/* It may want to read, or to change settings, while it is in the background; then it gets the foreground if we have it.
 */
void terminal_stopped(uint32_t number) {
  bool asks = number == SIGTTIN || number == SIGTTOU;
  if (asks) wanted = true;
  if (asks && tty >= 0 && in_foreground())
    terminal_take();
  else if (asks || number == SIGTSTP || number == SIGSTOP)
    stop((int)number, 0);
}

int terminal_wait(struct pollfd *waiting) {
  bool full = at < size;
  waiting[0] = (struct pollfd){.fd = raw && !full ? tty : -1, .events = POLLIN};
  waiting[1] = (struct pollfd){.fd = full ? keys : -1, .events = POLLOUT};
  return wanted && keys >= 0 && !raw ? LOOK_EVERY_MS : -1;
}

static void end_keys(void) {
  terminal_leave();
  if (keys >= 0) close(keys);
  keys = -1;
  at = size = 0;
}

void terminal_pump(const struct pollfd *waiting) {
  if (raw && !in_foreground()) raw = false; /* somebody took it: the settings are theirs now */
  if (!raw) terminal_take();
  if (waiting[0].revents != 0 && raw && at == size) {
    ssize_t n = read(tty, typed, sizeof typed);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
    at = 0;
    size = n > 0 ? (size_t)n : 0;
    if (n <= 0) end_keys(); /* it hung up */
  }
  if (at < size) {
    ssize_t n = send(keys, typed + at, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n > 0) at += (size_t)n;
    if (n < 0 && errno != EAGAIN && errno != EINTR) end_keys();
  }
}
