/*
 * socket-probe.c: tries each way to a Unix socket of somebody else, with and without a filter, for
 * socket-reach.test.ts and, inside a real sandbox, for test/e2e/profile.test.ts.
 *
 *   socket-probe ways FILTER|- DIRECTORY   makes three servers in DIRECTORY, then tries each way in a process of its own
 *   socket-probe names FILTER              what glibc asks over sockets: does it still come to an end?
 *   socket-probe connect PATH              one connect(2) to a server that is there
 *
 * A way ends as "reached", "lost" (no error, and nobody got it) or "errno N". FILTER is a seccomp program as bytes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netdb.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

static struct sock_filter program[4096];
static struct sock_fprog filter = {.filter = program};
static struct sockaddr_un stream_name, packet_name, dgram_name;
static int stream_server, packet_server, dgram_server;
static int spare_stream, other_stream, spare_dgram; /* made before the filter: what a client could hand over */
static int hand_over[2];              /* a connected pair, as a client's stdin may be */

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

static void install(void) {
  if (filter.len == 0) return;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail("no_new_privs");
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) fail("seccomp");
}

static int serve(int type, struct sockaddr_un *name, const char *directory, const char *base) {
  name->sun_family = AF_UNIX;
  if (snprintf(name->sun_path, sizeof name->sun_path, "%s/%s", directory, base) >= (int)sizeof name->sun_path)
    fail("path");
  int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)name, sizeof *name) != 0) fail(name->sun_path);
  if (type != SOCK_DGRAM && listen(fd, 8) != 0) fail("listen");
  return fd;
}

/* ---- ways: 0, or -1 with errno ---- */

static int reach_stream(int fd) { return connect(fd, (struct sockaddr *)&stream_name, sizeof stream_name); }

static int reach_packet(int fd) { return connect(fd, (struct sockaddr *)&packet_name, sizeof packet_name); }

static int reach_dgram(int fd) {
  return sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&dgram_name, sizeof dgram_name) < 0 ? -1 : 0;
}

static int by_message(int fd) {
  struct iovec data = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {
      .msg_name = &dgram_name, .msg_namelen = sizeof dgram_name, .msg_iov = &data, .msg_iovlen = 1};
  return sendmsg(fd, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static int own(int type, int (*way)(int)) {
  int fd = socket(AF_UNIX, type, 0);
  return fd < 0 ? -1 : way(fd);
}

static int pair(int type, int (*way)(int)) {
  int ends[2];
  return socketpair(AF_UNIX, type, 0, ends) < 0 ? -1 : way(ends[0]);
}

static int pair_left_alone(int type, int (*way)(int)) {
  int ends[2];
  if (socketpair(AF_UNIX, type, 0, ends) < 0) return -1;
  shutdown(ends[0], SHUT_RDWR);
  close(ends[1]);
  return way(ends[0]);
}

static void hand(int fd) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct iovec data = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (sendmsg(hand_over[1], &message, 0) != 1) fail("hand over");
}

static int take(void) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int))];
  } control = {0};
  char byte;
  int fd;
  struct iovec data = {.iov_base = &byte, .iov_len = 1};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(hand_over[0], &message, 0) != 1 || CMSG_FIRSTHDR(&message) == NULL) fail("take");
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

#define WAY(text, ...)                                                                                                 \
  if (index == at++) return (*name = text, (__VA_ARGS__))

static int try_way(int index, const char **name) {
  int at = 0;
  *name = NULL;
  WAY("stream", own(SOCK_STREAM, reach_stream));
  WAY("stream, close on exec", own(SOCK_STREAM | SOCK_CLOEXEC, reach_stream));
  WAY("datagram", own(SOCK_DGRAM, reach_dgram));
  WAY("datagram by sendmsg", own(SOCK_DGRAM, by_message));
  WAY("raw", own(SOCK_RAW, reach_dgram));
  WAY("packet", own(SOCK_SEQPACKET, reach_packet));
  WAY("datagram pair", pair(SOCK_DGRAM, reach_dgram));
  WAY("datagram pair by sendmsg", pair(SOCK_DGRAM, by_message));
  WAY("raw pair", pair(SOCK_RAW, reach_dgram));
  WAY("stream pair, connected anew", pair(SOCK_STREAM, reach_stream));
  WAY("stream pair, naming a receiver", pair(SOCK_STREAM, reach_dgram));
  WAY("stream pair, left alone", pair_left_alone(SOCK_STREAM, reach_stream));
  WAY("packet pair, connected anew", pair(SOCK_SEQPACKET, reach_packet));
  WAY("packet pair, naming a receiver", pair(SOCK_SEQPACKET, reach_dgram));
  WAY("packet pair, by sendmsg", pair(SOCK_SEQPACKET, by_message));
  WAY("packet pair, left alone", pair_left_alone(SOCK_SEQPACKET, reach_packet));
  WAY("inherited stream", reach_stream(spare_stream));
  WAY("handed stream", (hand(other_stream), reach_stream(take())));
  WAY("inherited datagram", reach_dgram(spare_dgram));
  WAY("handed datagram", (hand(spare_dgram), by_message(take())));
  return 0;
}

static bool was_reached(void) {
  char byte;
  bool reached = false;
  for (int *server = (int[]){stream_server, packet_server, -1}; *server >= 0; server++) {
    int fd = accept4(*server, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) reached = close(fd) == 0;
  }
  while (recv(dgram_server, &byte, 1, MSG_DONTWAIT) == 1) reached = true;
  return reached;
}

static bool show_way(int index) {
  const char *name = NULL;
  int status, result[2], told[2] = {0, 0};
  if (pipe(result) != 0) fail("pipe");
  pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) {
    install();
    told[0] = try_way(index, &name) < 0 ? errno : 0;
    told[1] = name == NULL ? 0 : (int)strlen(name);
    if (write(result[1], told, sizeof told) != (ssize_t)sizeof told || write(result[1], name, (size_t)told[1]) < 0)
      fail("tell");
    _exit(0);
  }
  close(result[1]);
  char text[64] = "";
  if (read(result[0], told, sizeof told) != (ssize_t)sizeof told) fail("hear");
  if (told[1] > 0 && read(result[0], text, sizeof text - 1) != told[1]) fail("hear");
  close(result[0]);
  waitpid(pid, &status, 0);
  if (told[1] == 0) return false;
  if (told[0] != 0)
    printf("%s: errno %d\n", text, told[0]);
  else
    printf("%s: %s\n", text, was_reached() ? "reached" : "lost");
  return true;
}

static void show_ways(const char *directory) {
  setvbuf(stdout, NULL, _IONBF, 0);
  stream_server = serve(SOCK_STREAM, &stream_name, directory, "stream");
  packet_server = serve(SOCK_SEQPACKET, &packet_name, directory, "packet");
  dgram_server = serve(SOCK_DGRAM, &dgram_name, directory, "dgram");
  spare_stream = socket(AF_UNIX, SOCK_STREAM, 0);
  other_stream = socket(AF_UNIX, SOCK_STREAM, 0);
  spare_dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (spare_stream < 0 || other_stream < 0 || spare_dgram < 0) fail("socket");
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, hand_over) != 0) fail("socketpair");
  for (int index = 0; show_way(index); index++) continue;
}

/* glibc would ask nscd by a Unix socket, and syslog(3) writes to one: without them it must go on. */
static void show_names(void) {
  struct addrinfo *found = NULL;
  install();
  alarm(10);
  const struct passwd *root = getpwnam("root");
  printf("getpwnam: %s\n", root == NULL ? "-" : root->pw_dir);
  const struct group *group = getgrgid(0);
  printf("getgrgid: %s\n", group == NULL ? "-" : group->gr_name);
  printf("getaddrinfo: %d\n", getaddrinfo("localhost", "80", NULL, &found));
  openlog("socket-probe", LOG_NDELAY, LOG_USER);
  syslog(LOG_DEBUG, "a word that nobody is to hear");
  printf("syslog: came back\n");
}

static void show_connect(const char *path) {
  struct sockaddr_un name = {.sun_family = AF_UNIX};
  snprintf(name.sun_path, sizeof name.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) == 0)
    printf("reached\n");
  else
    printf("errno %d\n", errno);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  if (strcmp(argv[1], "connect") == 0) {
    show_connect(argv[2]);
    return 0;
  }
  if (strcmp(argv[2], "-") != 0) read_filter(argv[2]);
  if (strcmp(argv[1], "ways") == 0 && argc > 3) show_ways(argv[3]);
  if (strcmp(argv[1], "names") == 0) show_names();
  return 0;
}
