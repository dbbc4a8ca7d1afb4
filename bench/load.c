/*
 * load UID GID SOCKET ACTION EACH_SECOND SECONDS: asks for ACTION so often a second, whether or not earlier answers are
 * there: an open loop. Prints for each request the nanoseconds from when it was due (not from when it was sent, so that a
 * bridge that makes us late is charged for it) to its whole answer, and 1 if that was a refusal of the policy's, else 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "../native/bell/request.h"

#define MAX_OPEN 1024

struct asked {
  long long due_ns;
  size_t size;
  char answer[4096];
};

static struct pollfd fds[MAX_OPEN];
static struct asked asked[MAX_OPEN];
static size_t open_count;
static struct request request;

static long long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void ask(const struct sockaddr_un *address, int null, long long due_ns) {
  union {
    struct cmsghdr head;
    char space[CMSG_SPACE(3 * sizeof(int))];
  } control = {0};
  struct iovec data = {.iov_base = request.frame, .iov_len = request.size};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  const int stdio[3] = {null, null, null};
  if (open_count == MAX_OPEN) fail("too many requests without an answer");
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) fail("connect");
  control.head.cmsg_level = SOL_SOCKET;
  control.head.cmsg_type = SCM_RIGHTS;
  control.head.cmsg_len = CMSG_LEN(sizeof stdio);
  memcpy(CMSG_DATA(&control.head), stdio, sizeof stdio);
  if (sendmsg(fd, &message, MSG_NOSIGNAL) != (ssize_t)request.size && errno != EPIPE) fail("sendmsg");
  fds[open_count] = (struct pollfd){.fd = fd, .events = POLLIN};
  asked[open_count] = (struct asked){.due_ns = due_ns};
  open_count++;
}

/* The bridge hangs up after its answer. */
static void hear(size_t at) {
  struct asked *one = &asked[at];
  ssize_t n = recv(fds[at].fd, one->answer + one->size, sizeof one->answer - 1 - one->size, 0);
  if (n > 0) one->size += (size_t)n;
  if (n > 0) return;
  struct wire_head head = {0};
  if (one->size >= sizeof head) memcpy(&head, one->answer, sizeof head);
  one->answer[one->size] = 0;
  bool decided = head.kind == WIRE_REFUSED && one->size > sizeof head + 4 &&
                 strstr(one->answer + sizeof head + 4, "\"code\":\"not_granted\"") != NULL;
  printf("%lld %d\n", now_ns() - one->due_ns, decided);
  close(fds[at].fd);
  open_count--;
  fds[at] = fds[open_count];
  asked[at] = asked[open_count];
}

static void hear_until(long long until_ns) {
  do {
    long long left = until_ns - now_ns();
    if (left < 0) left = 0;
    const struct timespec wait = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    if (ppoll(fds, open_count, &wait, NULL) > 0)
      for (size_t i = open_count; i > 0; i--)
        if (fds[i - 1].revents != 0) hear(i - 1);
  } while (now_ns() < until_ns);
}

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  static char *nothing[] = {NULL};
  if (argc != 7) return 2;
  gid_t gid = (gid_t)atol(argv[2]);
  uid_t uid = (uid_t)atol(argv[1]);
  long long each_ns = 1000000000LL / atol(argv[5]), count = atol(argv[5]) * atol(argv[6]);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[3]);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (format_request(&request, argv[4], "", nothing, false) != REQUEST_OK) return 2;
  if (setgroups(0, NULL) != 0 || setgid(gid) != 0 || setuid(uid) != 0) fail("drop root");
  long long start_ns = now_ns() + 10000000;
  for (long long i = 0; i < count; i++) {
    hear_until(start_ns + i * each_ns);
    ask(&address, null, start_ns + i * each_ns);
  }
  for (long long end_ns = now_ns() + 10000000000LL; open_count > 0 && now_ns() < end_ns;) hear_until(now_ns() + 1000000);
  if (open_count > 0) fail("requests without an answer after ten seconds");
  return 0;
}
