/*
 * A client of run.sock whose descriptors or requests are heavy: whoever opens, reads or closes them without care waits
 * for it. Its frame comes from a file. It prints what the other side answers.
 *
 *   heavy-client lease SOCKET FRAME            stdin is sealed memory with a lease on it: its open(2) waits for us
 *   heavy-client flood SOCKET FRAME UID COUNT  so many requests at once; prints how many were answered, and with what
 *   heavy-client late SOCKET FRAME PID COUNT   so many connect, then PID is killed, then each sends its request
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char frame[70000];
static size_t frame_size;

static void read_frame(const char *path) {
  int fd = open(path, O_RDONLY);
  ssize_t n = fd < 0 ? -1 : read(fd, frame, sizeof frame);
  if (n < 0) err(2, "%s", path);
  frame_size = (size_t)n;
  close(fd);
}

static int dial(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) err(2, "connect");
  return fd;
}

/* The whole frame with `first` as stdin and /dev/null as the rest. false: there is no room, or nobody there. */
static int send_frame(int fd, int first, int flags) {
  static int null = -1;
  if (null < 0) null = open("/dev/null", O_RDWR | O_CLOEXEC);
  int fds[3] = {first < 0 ? null : first, null, null};
  union {
    char bytes[CMSG_SPACE(sizeof fds)];
    struct cmsghdr align;
  } control = {0};
  struct iovec part = {.iov_base = frame, .iov_len = frame_size};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  *CMSG_FIRSTHDR(&message) =
      (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)};
  memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), fds, sizeof fds);
  return sendmsg(fd, &message, MSG_NOSIGNAL | flags) == (ssize_t)frame_size;
}

/* Its size; 0: the connection ended without one. */
static size_t take_answer(int fd, char *bytes, size_t size) {
  size_t got = 0;
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  while (got < size - 1 && poll(&ready, 1, 60000) == 1) {
    ssize_t n = read(fd, bytes + got, size - 1 - got);
    if (n <= 0) break;
    got += (size_t)n;
  }
  bytes[got] = 0;
  return got;
}

/* The lease is on a descriptor of its own that only reads: a memfd's first one counts as a writer. */
static int leased_memory(void) {
  char path[40];
  int memory = memfd_create("x", MFD_ALLOW_SEALING);
  if (memory < 0 || fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK) != 0) err(2, "memfd");
  snprintf(path, sizeof path, "/proc/self/fd/%d", memory);
  int leased = open(path, O_RDONLY);
  signal(SIGIO, SIG_IGN);
  if (leased < 0 || fcntl(leased, F_SETLEASE, F_WRLCK) != 0) err(2, "lease");
  return leased;
}

static void flood(uid_t uid, int count) {
  static int clients[1024];
  char answer[5000];
  int none = 0, unavailable = 0, busy = 0, decided = 0;
  if (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) err(2, "setresuid");
  for (int i = 0; i < count; i++) clients[i] = dial();
  for (int i = 0; i < count; i++) (void)send_frame(clients[i], -1, MSG_DONTWAIT);
  for (int i = 0; i < count; i++) {
    size_t size = take_answer(clients[i], answer, sizeof answer);
    int is_unavailable = memmem(answer, size, "\"unavailable\"", 13) != NULL;
    int is_busy = memmem(answer, size, "\"busy\"", 6) != NULL;
    none += size == 0;
    unavailable += is_unavailable;
    busy += is_busy;
    decided += size > 0 && !is_unavailable && !is_busy;
  }
  printf("{\"none\":%d,\"unavailable\":%d,\"busy\":%d,\"decided\":%d}\n", none, unavailable, busy, decided);
}

static void late(pid_t pid, int count) {
  static int clients[1024];
  char answer[5000];
  for (int i = 0; i < count; i++) clients[i] = dial();
  if (kill(pid, SIGKILL) != 0) err(2, "kill");
  for (int i = 0; i < count; i++) {
    usleep(100000);
    (void)send_frame(clients[i], -1, MSG_DONTWAIT);
    fwrite(answer, 1, take_answer(clients[i], answer, sizeof answer), stdout);
  }
}

int main(int argc, char **argv) {
  char answer[5000];
  if (argc < 4) errx(2, "usage");
  snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[2]);
  read_frame(argv[3]);
  if (strcmp(argv[1], "flood") == 0 && argc == 6) {
    flood((uid_t)atoi(argv[4]), atoi(argv[5]));
    return 0;
  }
  if (strcmp(argv[1], "late") == 0 && argc == 6) {
    late(atoi(argv[4]), atoi(argv[5]));
    return 0;
  }
  if (strcmp(argv[1], "lease") != 0) errx(2, "usage");
  int fd = dial();
  if (!send_frame(fd, leased_memory(), 0)) err(2, "sendmsg");
  fwrite(answer, 1, take_answer(fd, answer, sizeof answer), stdout);
  return 0;
}
