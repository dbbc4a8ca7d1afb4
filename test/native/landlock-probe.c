/*
 * landlock-probe.c: applies Landlock's part of a plan (spec/plan.md, "Landlock, version 2") on the real kernel and tries
 * what it is to refuse, for landlock.test.ts.
 *
 *   landlock-probe calls RULES|- DIRECTORY ALLOWED OTHER   each attempt in a process of its own: "name: errno"
 *   landlock-probe cost RULES COUNT                        microseconds to build and enter the rules, smallest of COUNT
 *
 * RULES is: u64 handled rights to files, u64 to ports, u16 count of paths, u16 of ports, then the rules. ALLOWED and OTHER are
 * two TCP ports with a listener each.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define CREATE_RULESET 444
#define ADD_RULE 445
#define RESTRICT_SELF 446
#define FILE_RIGHTS 0xc007ull /* execute, write, read, truncate, ioctl: what a rule on a file may hold */

struct ruleset {
  uint64_t handled_fs, handled_net, scoped;
};
struct path_rule {
  uint64_t access;
  int32_t fd;
} __attribute__((packed));
struct port_rule {
  uint64_t access, port;
};

static uint8_t rules[65536];
static size_t size, at;
static int allowed_port, other_port, inherited;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static uint64_t take(size_t width) {
  uint64_t value = 0;
  if (size - at < width) fail("rules end early");
  memcpy(&value, rules + at, width);
  at += width;
  return value;
}

static void read_rules(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd < 0 ? -1 : read(fd, rules, sizeof rules);
  if (n <= 0) fail(path);
  size = (size_t)n;
  close(fd);
}

/* What a kernel of this ABI knows; the rest is left out of masks and rules. */
static uint64_t known_fs(long abi) {
  return abi >= 5 ? 0xffff : abi >= 3 ? 0x7fff : abi == 2 ? 0x3fff : abi == 1 ? 0x1fff : 0;
}

static void add_path(int ruleset, uint64_t known) {
  char path[4096];
  struct stat st;
  uint64_t access = take(8) & known;
  size_t length = take(2);
  if (length >= sizeof path || size - at < length) fail("rules end early");
  memcpy(path, rules + at, length);
  path[length] = 0;
  at += length;
  struct path_rule rule = {.fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC)};
  if (rule.fd < 0 && errno == ENOENT) return;
  if (rule.fd < 0 || fstat(rule.fd, &st) != 0) fail(path);
  rule.access = S_ISDIR(st.st_mode) ? access : access & FILE_RIGHTS;
  if (rule.access != 0 && syscall(ADD_RULE, ruleset, 1, &rule, 0) != 0) fail(path);
  close(rule.fd);
}

static void enter_rules(void) {
  if (size == 0) return;
  at = 0;
  long abi = syscall(CREATE_RULESET, NULL, 0, 1);
  uint64_t fs = take(8) & known_fs(abi), net = abi >= 4 ? take(8) : take(8) & 0;
  struct ruleset attributes = {.handled_fs = fs, .handled_net = net};
  uint16_t paths = (uint16_t)take(2), ports = (uint16_t)take(2);
  int ruleset = (int)syscall(CREATE_RULESET, &attributes, abi >= 4 ? 16 : 8, 0);
  if (ruleset < 0) fail("ruleset");
  for (uint16_t i = 0; i < paths; i++) add_path(ruleset, fs);
  for (uint16_t i = 0; i < ports; i++) {
    struct port_rule rule = {.access = take(8) & net};
    rule.port = take(2);
    if (rule.access != 0 && syscall(ADD_RULE, ruleset, 2, &rule, 0) != 0) fail("port");
  }
  if (at != size) fail("rules end late");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || syscall(RESTRICT_SELF, ruleset, 0) != 0) fail("restrict");
  close(ruleset);
}

/* ---- attempts ---- */

static int opened(const char *path, int flags) {
  int fd = open(path, flags | O_CLOEXEC, 0600);
  return fd < 0 ? -1 : close(fd);
}

static int executed(const char *path) {
  int status;
  pid_t pid = fork();
  if (pid == 0) {
    execl(path, path, NULL);
    _exit(errno);
  }
  waitpid(pid, &status, 0);
  errno = WEXITSTATUS(status);
  return errno == 0 ? 0 : -1;
}

static int asked(const char *device) {
  struct termios answer;
  int fd = open(device, O_RDONLY | O_CLOEXEC);
  return fd < 0 ? -1 : ioctl(fd, TCGETS, &answer);
}

static int met(int port, bool bind_it) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  if (fd < 0) return -1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes);
  return (bind_it ? bind : connect)(fd, (struct sockaddr *)&name, sizeof name);
}

static int opened_again(int fd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return opened(path, O_RDONLY);
}

#define TRY(text, ...)                                                                                                 \
  if (index == next++) return (*name = text, (__VA_ARGS__))

static int attempt(int index, const char **name) {
  int next = 0;
  TRY("read a file of read", opened("r/file", O_RDONLY));
  TRY("write a file of read", opened("r/file", O_WRONLY));
  TRY("truncate a file of read", truncate("r/file", 0));
  TRY("write a pipe of read", opened("r/pipe", O_WRONLY | O_NONBLOCK));
  TRY("create in read", opened("r/new", O_WRONLY | O_CREAT));
  TRY("list read", opened("r", O_RDONLY | O_DIRECTORY));
  TRY("run a program of read", executed("r/true"));
  TRY("read a file outside", opened("../outside/file", O_RDONLY));
  TRY("read an inherited file", (int)read(inherited, (char[1]){0}, 1) == 1 ? 0 : -1);
  TRY("open an inherited file again", opened_again(inherited));
  TRY("list outside", opened("../outside", O_RDONLY | O_DIRECTORY));
  TRY("list the root", opened(".", O_RDONLY | O_DIRECTORY));
  TRY("write a file of write", opened("w/file", O_RDWR | O_TRUNC));
  TRY("create in write", opened("w/new", O_WRONLY | O_CREAT | O_EXCL));
  TRY("remove from write", unlink("w/new"));
  TRY("make a directory in write", mkdir("w/in", 0700));
  TRY("move within write", rename("w/file", "w/in/file"));
  TRY("link within write", link("w/in/file", "w/file"));
  TRY("make a link in write", symlink("file", "w/link"));
  TRY("make a pipe in write", mkfifo("w/pipe", 0600));
  TRY("make a device in write", mknod("w/device", S_IFCHR | 0600, makedev(1, 3)));
  TRY("make a block device in write", mknod("w/block", S_IFBLK | 0600, makedev(1, 0)));
  TRY("make a socket in write", mknod("w/socket", S_IFSOCK | 0600, 0));
  TRY("run a program of write", executed("w/true"));
  TRY("move from write to read", rename("w/link", "r/link"));
  TRY("write /dev/null", opened("/dev/null", O_WRONLY));
  TRY("ioctl on /dev/null", asked("/dev/null"));
  TRY("write a device of read", opened("/dev/zero", O_WRONLY));
  TRY("ioctl on a device of read", asked("/dev/zero"));
  TRY("connect to a port of the list", met(allowed_port, false));
  TRY("connect to another port", met(other_port, false));
  TRY("bind a port of the list", met(allowed_port, true));
  TRY("bind another port", met(other_port, true));
  return 0;
}

static bool show(int index) {
  const char *name = NULL;
  int result[2], told = 0;
  char text[64] = "";
  if (pipe2(result, O_CLOEXEC) != 0) fail("pipe");
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    enter_rules();
    told = attempt(index, &name) < 0 ? errno : 0;
    if (write(result[1], &told, sizeof told) < 0 || (name != NULL && write(result[1], name, strlen(name)) < 0))
      fail("tell");
    _exit(0);
  }
  close(result[1]);
  if (read(result[0], &told, sizeof told) != (ssize_t)sizeof told) fail("hear");
  bool known = read(result[0], text, sizeof text - 1) > 0;
  close(result[0]);
  waitpid(pid, NULL, 0);
  if (known) printf("%s: %d\n", text, told);
  return known;
}

static int listen_on(int port) {
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes) != 0 ||
      bind(fd, (struct sockaddr *)&name, sizeof name) != 0 || listen(fd, 8) != 0)
    fail("listen");
  return fd;
}

static long cost_us(int tries) {
  long smallest = -1;
  for (int i = 0; i < tries; i++) {
    int ends[2];
    long took = 0;
    if (pipe(ends) != 0) fail("pipe");
    pid_t pid = fork();
    if (pid == 0) {
      struct timespec from, to;
      clock_gettime(CLOCK_MONOTONIC, &from);
      enter_rules();
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
  if (argc < 4) return 2;
  setvbuf(stdout, NULL, _IONBF, 0); /* or each child would print again what its parent had not written yet */
  if (strcmp(argv[2], "-") != 0) read_rules(argv[2]);
  if (strcmp(argv[1], "cost") == 0) printf("%ld\n", cost_us(atoi(argv[3])));
  if (strcmp(argv[1], "calls") == 0 && argc > 5) {
    allowed_port = atoi(argv[4]);
    other_port = atoi(argv[5]);
    if (chdir(argv[3]) != 0 || open("r/pipe", O_RDONLY | O_NONBLOCK) < 0) fail(argv[3]);
    inherited = open("../outside/file", O_RDONLY | O_CLOEXEC);
    if (inherited < 0) fail("../outside/file");
    listen_on(allowed_port);
    listen_on(other_port);
    for (int index = 0; show(index); index++) continue;
  }
  return 0;
}
