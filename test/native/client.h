/* What clients of run.sock for tests share: where it is, the frame, which comes from a file, and a send with
 * descriptors. */
#pragma once
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char frame[70000];
static size_t frame_size;

static inline void name_socket(const char *path) { snprintf(address.sun_path, sizeof address.sun_path, "%s", path); }

static inline void read_frame(const char *path) {
  int fd = open(path, O_RDONLY);
  ssize_t n = fd < 0 ? -1 : read(fd, frame, sizeof frame);
  if (n < 0) err(2, "%s", path);
  frame_size = (size_t)n;
  close(fd);
}

static inline int new_socket(void) {
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) err(2, "socket");
  return fd;
}

static inline void dial(int fd) {
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) err(2, "connect");
}

static inline int null_device(void) {
  static int null = -1;
  if (null < 0) null = open("/dev/null", O_RDWR | O_CLOEXEC);
  return null;
}

/* These bytes of the frame, with up to 253 descriptors (SCM_MAX_FD). false: there is no room, or nobody there. */
static inline int send_with(int fd, size_t from, size_t size, const int *fds, int count, int flags) {
  union {
    char bytes[CMSG_SPACE(253 * sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec part = {.iov_base = frame + from, .iov_len = size};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    size_t bytes = (size_t)count * sizeof(int);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(bytes);
    *CMSG_FIRSTHDR(&message) =
        (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(bytes)};
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), fds, bytes);
  }
  return sendmsg(fd, &message, MSG_NOSIGNAL | flags) == (ssize_t)size;
}

static inline void become(uid_t uid) {
  if (setresgid(uid, uid, uid) != 0 || setresuid(uid, uid, uid) != 0) err(2, "setresuid");
}
