/*
 * seccomp-probe.c: makes system calls on the real kernel, with and without a filter, for seccomp.test.ts.
 *
 *   seccomp-probe calls FILTER|-             each call of the table below in a process of its own: "name: result"
 *   seccomp-probe service FILTER PROGRAM…    starts PROGRAM as the launcher starts a service: the first exec is let
 *                                            through by the listener, which is then closed
 *   seccomp-probe again -                    such a program: tries a second exec
 *   seccomp-probe run FILTER|- PROGRAM…      becomes PROGRAM behind the filter
 *   seccomp-probe load FILTER COUNT          microseconds to install the filter, the smallest of COUNT tries
 *
 * A result is 0, an errno, or "signal N". Arguments are such that a call that is let through fails in another way, or
 * does nothing that outlives its process.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#define NOWHERE "/nonexistent/belladonna"
#define NO_PID 0x7ffffff0L
#define HIGH 0x1234567800000000L

static struct sock_filter program[4096];
static struct sock_fprog filter = {.filter = program};

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void read_filter(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = fd < 0 ? -1 : read(fd, program, sizeof program);
  if (size <= 0 || (size_t)size % sizeof program[0] != 0) fail(path);
  filter.len = (unsigned short)((size_t)size / sizeof program[0]);
  close(fd);
}

static int install(unsigned long flags) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
  long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter);
  if (result < 0) fail("seccomp");
  return (int)result;
}

/* ---- calls that take more than a line ---- */

static int terminal = -1;

static void open_terminal(void) {
  int master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  int unlock = 0;
  if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) != 0) return;
  terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
  if (terminal < 0 || setsid() < 0 || ioctl(terminal, TIOCSCTTY, 0) != 0) fail("terminal");
  struct termios raw;
  tcgetattr(terminal, &raw);
  cfmakeraw(&raw);
  tcsetattr(terminal, TCSANOW, &raw);
}

/* Characters that wait in the terminal after an attempt to push one there. */
static long pushed(long request) {
  char character = 'x';
  int waiting = -1;
  syscall(SYS_ioctl, terminal, request, &character);
  if (ioctl(terminal, FIONREAD, &waiting) != 0) fail("FIONREAD");
  errno = waiting;
  return waiting == 0 ? 0 : -1;
}

static long wait_for(long pid) {
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid;
}

static long clone_and_wait(long flags) { return wait_for(syscall(SYS_clone, flags | SIGCHLD, 0, 0, 0, 0)); }

static void *nothing(void *argument) { return argument; }

static long start_thread(void) {
  pthread_t thread;
  errno = pthread_create(&thread, NULL, nothing, NULL);
  return errno != 0 ? -1 : pthread_join(thread, NULL);
}

static long exec_true(void) {
  char *arguments[] = {"true", NULL}, *environment[] = {NULL};
  return execve("/usr/bin/true", arguments, environment);
}

#if defined(__x86_64__)
/* getpid by the gate for 32-bit programs: number 20 of another architecture, writev here. */
static long old_gate(void) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
  errno = result < 0 ? (int)-result : 0;
  return result < 0 ? -1 : 0;
}
#endif

static int victim; /* a child that sleeps */

/* ---- the table ---- */

#define CALL(text, ...)                                                                                                \
  if (index == at++) return (strcpy(name, text), (__VA_ARGS__))

/* Makes call number `index`, its name put into `name` before; `name` stays as it is past the last call. */
static long make_call(int index, char *name) {
  int at = 0;
  CALL("io_uring_setup", syscall(SYS_io_uring_setup, 0, NULL));
  CALL("io_uring_enter", syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0));
  CALL("io_uring_register", syscall(SYS_io_uring_register, -1, 0, NULL, 0));
  CALL("bpf", syscall(SYS_bpf, 9999, NULL, 0));
  CALL("perf_event_open", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
  CALL("userfaultfd", syscall(SYS_userfaultfd, ~0L));
  CALL("ptrace", syscall(SYS_ptrace, PTRACE_ATTACH, NO_PID, 0, 0));
  CALL("ptrace a child", syscall(SYS_ptrace, PTRACE_SEIZE, victim, 0, 0));
  CALL("process_vm_readv", syscall(SYS_process_vm_readv, NO_PID, NULL, 0, NULL, 0, 0));
  CALL("process_vm_writev", syscall(SYS_process_vm_writev, NO_PID, NULL, 0, NULL, 0, 0));
  CALL("process_madvise", syscall(SYS_process_madvise, -1, NULL, 0, 0, 0));
  CALL("pidfd_getfd", syscall(SYS_pidfd_getfd, -1, 0, 0));
  CALL("kcmp", syscall(SYS_kcmp, NO_PID, NO_PID, 0, 0, 0));
  CALL("mount", syscall(SYS_mount, "none", NOWHERE, "tmpfs", 0, NULL));
  CALL("umount2", syscall(SYS_umount2, NOWHERE, 0));
  CALL("pivot_root", syscall(SYS_pivot_root, NOWHERE, NOWHERE));
  CALL("chroot", syscall(SYS_chroot, NOWHERE));
  CALL("chroot /", syscall(SYS_chroot, "/"));
  CALL("move_mount", syscall(SYS_move_mount, -1, "", -1, "", 0x1000));
  CALL("open_tree", syscall(SYS_open_tree, -1, "", 0x4));
  CALL("open_tree_attr", syscall(467, -1, "", 0x4, NULL, 0));
  CALL("mount_setattr", syscall(SYS_mount_setattr, -1, "", 0x4, NULL, 0));
  CALL("fsopen", syscall(SYS_fsopen, "tmpfs", 0x1000));
  CALL("fsconfig", syscall(SYS_fsconfig, -1, 9999, NULL, NULL, 0));
  CALL("fsmount", syscall(SYS_fsmount, -1, 0x1000, 0));
  CALL("fspick", syscall(SYS_fspick, -1, "", 0x1000));
  CALL("setns", syscall(SYS_setns, -1, 0));
  CALL("unshare", syscall(SYS_unshare, CLONE_NEWUTS));
  CALL("unshare nothing", syscall(SYS_unshare, 0));
  CALL("sethostname", syscall(SYS_sethostname, NULL, -1));
  CALL("setdomainname", syscall(SYS_setdomainname, NULL, -1));
  CALL("add_key", syscall(SYS_add_key, NULL, NULL, NULL, 0, 0));
  CALL("request_key", syscall(SYS_request_key, NULL, NULL, NULL, 0));
  CALL("keyctl", syscall(SYS_keyctl, 9999, 0, 0, 0, 0));
  CALL("name_to_handle_at", syscall(SYS_name_to_handle_at, -1, NULL, NULL, NULL, 0));
  CALL("open_by_handle_at", syscall(SYS_open_by_handle_at, -1, NULL, 0));
  CALL("fanotify_init", syscall(SYS_fanotify_init, ~0u, 0));
  CALL("fanotify_mark", syscall(SYS_fanotify_mark, -1, 0, 0, 0, NULL));
  CALL("init_module", syscall(SYS_init_module, NULL, 0, NULL));
  CALL("finit_module", syscall(SYS_finit_module, -1, NULL, 0));
  CALL("delete_module", syscall(SYS_delete_module, NULL, 0));
  CALL("kexec_load", syscall(SYS_kexec_load, 0, 9999, NULL, 0));
  CALL("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
  CALL("swapon", syscall(SYS_swapon, NOWHERE, 0));
  CALL("swapoff", syscall(SYS_swapoff, NOWHERE));
  CALL("acct", syscall(SYS_acct, NOWHERE));
  CALL("quotactl", syscall(SYS_quotactl, -1, NULL, 0, NULL));
  CALL("quotactl_fd", syscall(443, -1, 0, 0, NULL));
#if defined(__x86_64__)
  CALL("iopl", syscall(SYS_iopl, 9));
  CALL("ioperm", syscall(SYS_ioperm, ~0L, 1, 1));
  CALL("modify_ldt", syscall(SYS_modify_ldt, 9999, NULL, 0));
  CALL("int 0x80", old_gate());
  CALL("x32", syscall(0x40000000 + SYS_getpid));
#endif
  CALL("clone3", syscall(SYS_clone3, NULL, 0));
  CALL("newer than the table", syscall(10000));
  CALL("clone", clone_and_wait(0));
  CALL("clone NEWUTS", clone_and_wait(CLONE_NEWUTS));
  CALL("clone NEWUTS high", clone_and_wait(CLONE_NEWUTS | HIGH));
  CALL("clone NEWUSER", clone_and_wait(CLONE_NEWUSER));
  CALL("fork", wait_for(fork()));
#if defined(__x86_64__)
  CALL("fork by its own call", wait_for(syscall(SYS_fork)));
#endif
  CALL("thread", start_thread());
  CALL("TIOCSTI", syscall(SYS_ioctl, terminal, TIOCSTI, "x"));
  CALL("TIOCSTI high", syscall(SYS_ioctl, terminal, HIGH | TIOCSTI, "x"));
  CALL("TIOCSTI pushed", pushed(TIOCSTI));
  CALL("TIOCSTI high pushed", pushed(HIGH | TIOCSTI));
  CALL("TIOCLINUX", syscall(SYS_ioctl, terminal, 0x541c, "\x02"));
  CALL("TIOCLINUX high", syscall(SYS_ioctl, terminal, HIGH | 0x541c, "\x02"));
  CALL("TIOCSETD", syscall(SYS_ioctl, terminal, TIOCSETD, NULL));
  CALL("TIOCGWINSZ", syscall(SYS_ioctl, terminal, TIOCGWINSZ, &(struct winsize){0}));
  CALL("personality query", syscall(SYS_personality, 0xffffffff) < 0 ? -1 : 0);
  CALL("personality", syscall(SYS_personality, 0x0040000) < 0 ? -1 : 0);
  CALL("socket unix", socket(AF_UNIX, SOCK_STREAM, 0));
  CALL("socket unix dgram", socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  CALL("connect", connect(-1, NULL, 0));
  CALL("socket inet", socket(AF_INET, SOCK_STREAM, 0));
  CALL("socket netlink", socket(AF_NETLINK, SOCK_RAW, 0));
  CALL("socket vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  CALL("socket alg", socket(AF_ALG, SOCK_SEQPACKET, 0));
  CALL("socketpair unix", socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){0}));
  CALL("socketpair seqpacket", socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, (int[2]){0}));
  CALL("socketpair dgram", socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, (int[2]){0}));
  CALL("socketpair raw", socketpair(AF_UNIX, SOCK_RAW, 0, (int[2]){0}));
  CALL("socketpair vsock", socketpair(AF_VSOCK, SOCK_STREAM, 0, (int[2]){0}));
  CALL("kill", kill(getpid(), 0));
  CALL("tkill", syscall(SYS_tkill, syscall(SYS_gettid), 0));
  CALL("tgkill", syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), 0));
  CALL("setuid", syscall(SYS_setuid, getuid()));
  CALL("setgroups", syscall(SYS_setgroups, -1, NULL));
  CALL("capset", syscall(SYS_capset, NULL, NULL));
  CALL("fchownat", syscall(SYS_fchownat, AT_FDCWD, NOWHERE, -1, -1, 0));
  CALL("mknodat", syscall(SYS_mknodat, AT_FDCWD, NOWHERE, 0, 0));
  CALL("openat", open("/dev/null", O_RDWR));
  CALL("getpid", getpid());
  CALL("execve", exec_true());
  return 0;
}

/* What the process of one call tells; also there when a signal ended it, or it became another program. */
struct told {
  char name[64];
  int result;
};

/* false: there is no such call. */
static bool show(int index, bool filtered, struct told *told) {
  int status = 0;
  memset(told, 0, sizeof *told);
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    open_terminal();
    victim = fork();
    if (victim == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      for (;;) pause();
    }
    if (filtered) install(0);
    errno = 0;
    told->result = make_call(index, told->name) < 0 ? errno : 0;
    _exit(0);
  }
  waitpid(pid, &status, 0);
  if (told->name[0] == 0) return false;
  if (WIFSIGNALED(status))
    printf("%s: signal %d\n", told->name, WTERMSIG(status));
  else
    printf("%s: %d\n", told->name, told->result);
  return true;
}

static void show_all(bool filtered) {
  struct told *told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (told == MAP_FAILED) fail("mmap");
  setvbuf(stdout, NULL, _IONBF, 0); /* or each child would print again what its parent had not written yet */
  for (int index = 0; show(index, filtered, told); index++) continue;
}

/* ---- as the launcher starts a service ---- */

static void pass(int socket, int fd) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  char byte = 0;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(socket, &message, 0) != 1) fail("pass the listener");
}

static int receive(int socket) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  char byte;
  int fd;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 || CMSG_FIRSTHDR(&message) == NULL) fail("take the listener");
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

/* Lets the first exec go on, then answers no other. */
static void answer_once(int listener) {
  struct seccomp_notif request = {0};
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &request) != 0) fail("receive a notification");
  struct seccomp_notif_resp response = {.id = request.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) != 0) fail("answer a notification");
  close(listener);
}

static int run_service(char **arguments) {
  int ends[2], status = 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    int listener = install(SECCOMP_FILTER_FLAG_NEW_LISTENER);
    pass(ends[1], listener);
    close(listener);
    execv(arguments[0], arguments);
    fail(arguments[0]);
  }
  close(ends[1]);
  answer_once(receive(ends[0]));
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* ---- what it costs ---- */

static long load_us(int tries) {
  long smallest = -1;
  for (int i = 0; i < tries; i++) {
    int ends[2];
    long took = 0;
    if (pipe(ends) != 0) fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
      struct timespec from, to;
      clock_gettime(CLOCK_MONOTONIC, &from);
      install(0);
      clock_gettime(CLOCK_MONOTONIC, &to);
      took = (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
      (void)!write(ends[1], &took, sizeof took);
      _exit(0);
    }
    if (read(ends[0], &took, sizeof took) != (ssize_t)sizeof took) fail("read");
    waitpid(pid, NULL, 0);
    close(ends[0]);
    close(ends[1]);
    if (smallest < 0 || took < smallest) smallest = took;
  }
  return smallest;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  bool filtered = strcmp(argv[2], "-") != 0;
  if (filtered) read_filter(argv[2]);
  if (strcmp(argv[1], "calls") == 0) show_all(filtered);
  if (strcmp(argv[1], "service") == 0 && argc > 3) return run_service(argv + 3);
  if (strcmp(argv[1], "run") == 0 && argc > 3) {
    if (filtered) install(0);
    execv(argv[3], argv + 3);
    fail(argv[3]);
  }
  if (strcmp(argv[1], "load") == 0 && argc > 3) printf("%ld\n", load_us(atoi(argv[3])));
  if (strcmp(argv[1], "again") == 0) { /* started by `service`: tries to become something else */
    long result = exec_true();
    printf("execve: %d\n", result < 0 ? errno : 0);
  }
  return 0;
}
