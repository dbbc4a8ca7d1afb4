/* tiocsti-probe.c: tries to type into every terminal that it has, as CVE-2017-5226 and CVE-2023-28339 did. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void try(const char *name, int fd) {
  char subcode = 3; /* of TIOCLINUX: paste */
  const unsigned long calls[] = {TIOCSTI, TIOCSTI | 1ul << 32, TIOCLINUX, TIOCLINUX | 1ul << 40};
  for (int i = 0; i < 4; i++) {
    errno = 0;
    syscall(SYS_ioctl, fd, calls[i], i < 2 ? "X" : &subcode);
    printf("%s %d %s\n", name, i, strerror(errno));
  }
}

int main(void) {
  int tty = open("/dev/tty", O_RDWR | O_NOCTTY), why = errno;
  try("stdin", 0);
  try("stdout", 1);
  if (tty >= 0)
    try("tty", tty);
  else
    printf("tty none %s\n", strerror(why));
  return 0;
}
