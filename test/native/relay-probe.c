/* relay-probe.c: shuts itself in as a relay does and makes the call that argv[1] names. Nothing may come back from it. */
#include "relay/confine.c"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

int main(int argc, char **argv) {
  static char *nothing[] = {NULL};
  const char *call = argc > 1 ? argv[1] : "";
  int pair[2];
  confine();
#define TRY(name, expression)                                                                                          \
  if (strcmp(call, name) == 0 && (expression) != -2) return 9;
  TRY("open", open("/dev/null", O_RDONLY))
  TRY("openat2", syscall(SYS_openat2, AT_FDCWD, "/dev/null", NULL, 0))
  TRY("socket", socket(AF_UNIX, SOCK_STREAM, 0))
  TRY("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
  TRY("connect", connect(0, NULL, 0))
  TRY("sendmsg", sendmsg(1, NULL, 0))
  TRY("execve", execve("/bin/true", nothing, nothing))
  TRY("execveat", syscall(SYS_execveat, AT_FDCWD, "/bin/true", nothing, nothing, 0))
  TRY("fork", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0))
  TRY("clone3", syscall(SYS_clone3, NULL, 0))
  TRY("kill", kill(1, 0))
  TRY("ptrace", syscall(SYS_ptrace, 0, 0, 0, 0))
  TRY("mmap", syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
  TRY("mprotect", mprotect(&pair, 1, PROT_READ | PROT_EXEC))
  TRY("ioctl", syscall(SYS_ioctl, 0, 0, 0))
  TRY("tiocsti", syscall(SYS_ioctl, 0, TIOCSTI, "x"))
  if (strcmp(call, "tiocgwinsz") == 0) (void)syscall(SYS_ioctl, 0, TIOCGWINSZ, NULL);
  TRY("prctl", prctl(PR_SET_DUMPABLE, 1, 0, 0, 0))
  TRY("setuid", syscall(SYS_setuid, 0))
  TRY("fcntl", fcntl(0, F_GETFL))
  TRY("dup", dup(0))
  TRY("memfd_create", syscall(SYS_memfd_create, "x", 0))
  TRY("io_uring_setup", syscall(SYS_io_uring_setup, 1, NULL))
  return write(1, "here\n", 5) == 5 ? 0 : 8;
}
