/* descriptors.c: messages that carry descriptors, in both directions; and small files of the kernel. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

union control {
  struct cmsghdr align;
  char space[CMSG_SPACE(sizeof(int) * MAX_DESCRIPTORS)];
};

bool send_descriptors(int socket, const void *bytes, size_t size, const int *fds, size_t count) {
  union control control = {0};
  struct iovec data = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
  struct msghdr message = {.msg_iov = &data,
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = (socklen_t)CMSG_SPACE(sizeof(int) * count)};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = (socklen_t)CMSG_LEN(sizeof(int) * count);
  memcpy(CMSG_DATA(header), fds, sizeof(int) * count);
  return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)size;
}

ssize_t receive_descriptors(int socket, void *bytes, size_t capacity, int *fds, size_t *count) {
  union control control;
  struct iovec data = {.iov_base = bytes, .iov_len = capacity};
  struct msghdr message = {
      .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  int came[MAX_DESCRIPTORS];
  size_t most = *count, found = 0;
  *count = 0;
  ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (size < 0) return size;
  const struct cmsghdr *c = CMSG_FIRSTHDR(&message); /* descriptors always come in one message header */
  if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
    found = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); /* the kernel has closed what did not fit: MSG_CTRUNC */
  if (found > 0) memcpy(came, CMSG_DATA(c), found * sizeof(int));
  if (found <= most) {
    memcpy(fds, came, found * sizeof(int));
    *count = found;
    if ((message.msg_flags & MSG_CTRUNC) == 0) return size;
  } else {
    for (size_t i = 0; i < found; i++) close(came[i]);
  }
  errno = EPROTO;
  return -1;
}

ssize_t read_text(int directory, const char *path, char *text, size_t capacity) {
  int fd = openat(directory, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  ssize_t size = fd < 0 ? -1 : read(fd, text, capacity);
  if (fd >= 0) close(fd);
  return size;
}

int write_text(int directory, const char *path, const char *text) {
  int fd = openat(directory, path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return -1;
  ssize_t n = write(fd, text, strlen(text));
  int saved = errno;
  close(fd);
  errno = saved;
  return n == (ssize_t)strlen(text) ? 0 : -1;
}

void close_fd(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}
