/*
 * A client of run.sock whose descriptors or requests are heavy: whoever opens, reads or closes them without care waits
 * for it. Its frame comes from a file. It prints what the other side answers.
 *
 *   heavy-client lease SOCKET FRAME            stdin is sealed memory with a lease on it: its open(2) waits for us
 *   heavy-client flood SOCKET FRAME UID COUNT  so many requests at once; prints how many were answered, and with what
 *   heavy-client linger SOCKET FRAME           stdout is a TCP connection whose last close(2) waits 20 seconds for its
 * peer heavy-client unread SOCKET FRAME           the same, in messages behind the request that nobody reads
 *   heavy-client fuse SOCKET FRAME UID         stdin is a file that UID serves itself, and whose close(2) waits 6
 * seconds heavy-client late SOCKET FRAME PID COUNT   so many connect, then PID is killed, then each sends its request
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <linux/fuse.h>

#include "client.h"

static int dialled(void) {
  int fd = new_socket();
  dial(fd);
  return fd;
}

/* With `first` as stdin and /dev/null as the rest. */
static int send_part(int fd, int first, size_t from, size_t size, int flags) {
  const int fds[3] = {first < 0 ? null_device() : first, null_device(), null_device()};
  return send_with(fd, from, size, fds, 3, flags);
}

static int send_frame(int fd, int first, int flags) { return send_part(fd, first, 0, frame_size, flags); }

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

/* Its peer reads nothing, so that what is sent is never acknowledged. */
static int lingering_connection(void) {
  static char bytes[65536];
  const struct linger linger = {1, 20};
  struct sockaddr_in place = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof place;
  int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&place, sizeof place) != 0 || listen(listener, 1) != 0) err(2, "listen");
  if (getsockname(listener, (struct sockaddr *)&place, &size) != 0) err(2, "getsockname");
  if (connect(fd, (struct sockaddr *)&place, size) != 0) err(2, "connect");
  if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) != 0) err(2, "linger");
  while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) continue;
  return fd;
}

static void put(const char *path, const char *text) {
  int fd = open(path, O_WRONLY);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) err(2, "%s", path);
  close(fd);
}

/* Answers what is needed to open the file; to a flush nothing for six seconds. */
static void serve_file(int device) {
  static union {
    char bytes[1 << 18];
    struct fuse_in_header head;
  } in;
  while (read(device, &in, sizeof in) > 0) {
    struct {
      struct fuse_out_header head;
      union {
        struct fuse_init_out init;
        struct fuse_attr_out attributes;
        struct fuse_open_out open;
      } body;
    } out = {.head = {.unique = in.head.unique, .len = sizeof out.head}};
    if (in.head.opcode == FUSE_INIT) {
      out.body.init = (struct fuse_init_out){.major = 7, .minor = 31, .max_write = 65536};
      out.head.len += sizeof out.body.init;
    } else if (in.head.opcode == FUSE_GETATTR) {
      out.body.attributes = (struct fuse_attr_out){.attr = {.ino = 1, .mode = S_IFREG | 0666, .nlink = 1}};
      out.head.len += sizeof out.body.attributes;
    } else if (in.head.opcode == FUSE_OPEN) {
      out.head.len += sizeof out.body.open;
    } else if (in.head.opcode == FUSE_FLUSH) {
      sleep(6);
      _exit(0);
    }
    if (write(device, &out, out.head.len) < 0 && errno != ENOENT) _exit(1);
  }
  _exit(0);
}

/*
 * In a user namespace, as anybody can. Root only makes the device, which on most hosts everybody may open. 77: this
 * host has none (sysctl user.max_user_namespaces, a policy of its security module), or no driver, or a cgroup that
 * denies it.
 */
static int own_file(uid_t uid) {
  char text[80];
  if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) err(2, "unshare");
  if (mount("none", "/mnt", "tmpfs", 0, "mode=755") != 0 || mknod("/mnt/file", S_IFREG | 0666, 0) != 0) err(2, "/mnt");
  if (mknod("/mnt/fuse", S_IFCHR, makedev(10, 229)) != 0 || chmod("/mnt/fuse", 0666) != 0) err(2, "/mnt/fuse");
  become(uid);
  if (prctl(PR_SET_DUMPABLE, 1) != 0) err(2, "dumpable");
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
    err(errno == EPERM || errno == ENOSPC ? 77 : 2, "this host gives %u no user namespace", uid);
  int device = open("/mnt/fuse", O_RDWR | O_CLOEXEC);
  if (device < 0) err(errno == ENXIO || errno == ENODEV || errno == EPERM ? 77 : 2, "this host has no /dev/fuse");
  snprintf(text, sizeof text, "0 %u 1", uid);
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", text);
  put("/proc/self/gid_map", text);
  snprintf(text, sizeof text, "fd=%d,rootmode=100000,user_id=0,group_id=0", device);
  if (mount("none", "/mnt/file", "fuse", 0, text) != 0) err(2, "mount");
  if (fork() == 0) serve_file(device);
  close(device);
  int file = open("/mnt/file", O_RDWR);
  if (file < 0) err(2, "/mnt/file");
  return file;
}

static void flood(uid_t uid, int count) {
  static int clients[1024];
  char answer[5000];
  int none = 0, unavailable = 0, busy = 0, decided = 0;
  become(uid);
  for (int i = 0; i < count; i++) clients[i] = dialled();
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
  for (int i = 0; i < count; i++) clients[i] = dialled();
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
  name_socket(argv[2]);
  read_frame(argv[3]);
  if (strcmp(argv[1], "flood") == 0 && argc == 6) {
    flood((uid_t)atoi(argv[4]), atoi(argv[5]));
    return 0;
  }
  if (strcmp(argv[1], "late") == 0 && argc == 6) {
    late(atoi(argv[4]), atoi(argv[5]));
    return 0;
  }
  int fd = dialled(), passed = -1;
  if (strcmp(argv[1], "fuse") == 0 && argc == 5) {
    passed = own_file((uid_t)atoi(argv[4]));
    if (!send_part(fd, passed, 0, 8, 0)) err(2, "sendmsg");
    sleep(1); /* it is among the launcher's descriptors now */
    if (send(fd, frame + 8, frame_size - 8, MSG_NOSIGNAL) < 0) err(2, "send");
  } else if (strcmp(argv[1], "unread") == 0) {
    passed = lingering_connection();
    if (!send_frame(fd, -1, 0)) err(2, "sendmsg");
    for (int i = 0; i < 20; i++) (void)send_part(fd, passed, 0, 1, 0);
  } else if (strcmp(argv[1], "linger") == 0 || strcmp(argv[1], "lease") == 0) {
    passed = strcmp(argv[1], "linger") == 0 ? lingering_connection() : leased_memory();
    if (!send_frame(fd, passed, 0)) err(2, "sendmsg");
  } else
    errx(2, "usage");
  if (strcmp(argv[1], "lease") != 0) close(passed); /* the launcher's is the last one */
  fwrite(answer, 1, take_answer(fd, answer, sizeof answer), stdout);
  fflush(stdout);
  if (strcmp(argv[1], "lease") != 0) sleep(5);
  return 0;
}
