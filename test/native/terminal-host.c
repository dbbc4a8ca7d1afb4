/*
 * terminal-host.c: a terminal for a command of a test, as a terminal emulator has it: `terminal-host ROWS COLUMNS
 * COMMAND…`. What comes on stdin is typed, what it shows goes to stdout, and it ends as the command does.
 *
 * Descriptor 3 takes orders, one a line; an answer is a line on descriptor 4:
 *   size ROWS COLUMNS   modes (says which are on)   hold (nothing is read any more)   release   hangup
 */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int master;
static bool held;

static void say_modes(void) {
  struct termios now;
  if (tcgetattr(master, &now) != 0) exit(99);
  dprintf(4, "%s %s %s %s\n", now.c_lflag & ICANON ? "icanon" : "-", now.c_lflag & ECHO ? "echo" : "-",
          now.c_lflag & ISIG ? "isig" : "-", now.c_oflag & OPOST ? "opost" : "-");
}

static void obey(char *order) {
  struct winsize size = {0};
  if (sscanf(order, "size %hu %hu", &size.ws_row, &size.ws_col) == 2) ioctl(master, TIOCSWINSZ, &size);
  if (strcmp(order, "modes") == 0) say_modes();
  if (strcmp(order, "hold") == 0) held = true;
  if (strcmp(order, "release") == 0) held = false;
  if (strcmp(order, "hangup") == 0) close(master), exit(0);
}

static void take_orders(void) {
  char orders[1024];
  ssize_t n = read(3, orders, sizeof orders - 1);
  if (n <= 0) exit(98);
  orders[n] = 0;
  for (char *order = strtok(orders, "\n"); order != NULL; order = strtok(NULL, "\n")) obey(order);
}

static ssize_t pass_on(int from, int to) {
  char bytes[65536];
  ssize_t n = read(from, bytes, sizeof bytes);
  for (ssize_t done = 0, w; done < n; done += w)
    if ((w = write(to, bytes + done, (size_t)(n - done))) < 0) exit(97);
  return n;
}

int main(int argc, char **argv) {
  struct winsize size = {.ws_row = (unsigned short)atoi(argv[1]), .ws_col = (unsigned short)atoi(argv[2])};
  int status;
  if (argc < 4) return 96;
  pid_t pid = forkpty(&master, NULL, NULL, &size);
  if (pid == 0) {
    close(3);
    close(4);
    execvp(argv[3], argv + 3);
    _exit(95);
  }
  bool typing = true;
  for (;;) {
    struct pollfd polled[] = {{held ? -1 : master, POLLIN, 0}, {typing ? 0 : -1, POLLIN, 0}, {3, POLLIN, 0}};
    if (poll(polled, 3, -1) < 0) return 94;
    if (polled[2].revents != 0) take_orders();
    if (polled[1].revents != 0 && pass_on(0, master) <= 0) typing = false;
    if (polled[0].revents != 0 && pass_on(master, 1) <= 0) break; /* EIO: nobody has it open any more */
  }
  if (waitpid(pid, &status, 0) != pid) return 93;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
