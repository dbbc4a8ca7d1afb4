/*
 * terminal.c: a run's own terminal, in place of the client's: step 3 of sandbox.c makes it, step 10 uses it.
 *
 * It is the only one of a devpts that nobody else has, whose ptmx only we can open. The master goes to the relay; here
 * the first process is the session's leader, the command a process group of that session with a parent in another
 * one, so that it can be stopped from the keyboard (POSIX: an orphaned group is not).
 *
 * Not trusted: the client's terminal. Only its settings and its size are read, and nothing is written to it.
 */
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "sandbox.h"

static bool told; /* that it was stopped */

/* Before that, /dev/null has taken the place of a terminal that the plan does not let the command read. */
void terminal_open(int master) {
  struct termios settings;
  struct winsize size;
  const int locked = 0;
  int slave = -1;
  if (master >= 0 && ioctl(master, TIOCSPTLCK, &locked) == 0)
    slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0 || fchown(slave, child.command.uid, child.command.gid) != 0) child_fail(WIRE_STAGE_STDIO);
  /* Not those of a line editor, which has signals but no lines: bell may be in the background of a shell. */
  if (tcgetattr(child.shown, &settings) == 0 && (settings.c_lflag & (ICANON | ISIG)) != ISIG)
    (void)tcsetattr(slave, TCSANOW, &settings);
  if (ioctl(child.shown, TIOCGWINSZ, &size) == 0) (void)ioctl(slave, TIOCSWINSZ, &size);
  for (int i = 0; i < 3; i++)
    if (isatty(i) && dup2(slave, i) < 0) child_fail(WIRE_STAGE_STDIO);
  if (ioctl(slave, TIOCSCTTY, 0) != 0) child_fail(WIRE_STAGE_STDIO);
  if (!send_descriptors(child.keys, "", 1, &master, 1)) child_fail(WIRE_STAGE_STDIO);
  close(master);
  child.terminal = slave;
  child.foreground = isatty(0) && isatty(1); /* else a part of a pipeline, which others read the keyboard beside */
}

/* 0: it is there; a client that has made its own ready says so by SIGCONT, and nobody waits for one that does not. Else
 * the signal that stopped the command, once: who is told sends SIGCONT, be it after hours. */
void terminal_tell(int stopped) {
  sigset_t ready;
  const struct wire_exited report = {.kind = WIRE_END_STOPPED, .value = (uint32_t)stopped};
  if (child.terminal < 0 || told) return;
  (void)!send(GATE, &report, sizeof report, MSG_NOSIGNAL);
  told = stopped != 0;
  sigemptyset(&ready);
  sigaddset(&ready, SIGCONT);
  if (stopped == 0) (void)sigtimedwait(&ready, NULL, &(const struct timespec){.tv_sec = 1});
}

/* The command's group reads what is typed, and gets the signals. */
void terminal_give(pid_t command) {
  told = false;
  if (child.terminal >= 0) (void)ioctl(child.terminal, TIOCSPGRP, &command);
}

/* In the command, before its exec. Signals are blocked, so nothing here stops it. */
bool terminal_join(void) {
  if (child.terminal < 0) return setsid() >= 0;
  if (setpgid(0, 0) != 0) return false;
  if (child.foreground) terminal_give(getpid());
  return true;
}
