/*
 * peer SOCKET REPLY: the launcher's end of one connection, for tests that must see descriptors (Node cannot).
 * Prints "ready", then what came: the frame in hex and the kind of each descriptor. Copies descriptor 0 to 1, writes
 * "err" to 2, sends REPLY (hex), and ends.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static const char *kind_of(int fd) {
  struct stat status, null;
  if (fstat(fd, &status) != 0 || stat("/dev/null", &null) != 0) return "unknown";
  if (S_ISFIFO(status.st_mode)) return "pipe";
  if (S_ISSOCK(status.st_mode)) return "socket";
  if (S_ISREG(status.st_mode)) return "file";
  return S_ISCHR(status.st_mode) && status.st_rdev == null.st_rdev ? "null" : "other";
}

static size_t from_hex(const char *hex, unsigned char *bytes, size_t size) {
  size_t count = 0;
  unsigned int byte;
  while (count < size && sscanf(hex + 2 * count, "%2x", &byte) == 1) bytes[count++] = (unsigned char)byte;
  return count;
}

int main(int argc, char **argv) {
  static unsigned char frame[65536];
  static char control[CMSG_SPACE(16 * sizeof(int))];
  int fds[16];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct iovec vector = {frame, sizeof frame};
  struct msghdr message = {
      .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  if (argc != 3) return 2;
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 1) != 0) return 1;
  puts("ready");
  fflush(stdout);
  int connection = accept(listener, NULL, NULL);
  ssize_t size = recvmsg(connection, &message, 0);
  if (size < 0) return 1;
  printf("frame ");
  for (ssize_t i = 0; i < size; i++) printf("%02x", frame[i]);
  struct cmsghdr *descriptors = CMSG_FIRSTHDR(&message);
  size_t count = descriptors == NULL ? 0 : (descriptors->cmsg_len - CMSG_LEN(0)) / sizeof(int);
  if (count > 0) memcpy(fds, CMSG_DATA(descriptors), count * sizeof(int));
  printf("\nfds");
  for (size_t i = 0; i < count; i++) printf(" %s", kind_of(fds[i]));
  puts("");
  fflush(stdout);
  if (count == 3) {
    char copied[4096];
    ssize_t n = read(fds[0], copied, sizeof copied);
    if (n > 0 && write(fds[1], copied, (size_t)n) != n) return 1;
    if (write(fds[2], "err\n", 4) != 4) return 1;
  }
  size = (ssize_t)from_hex(argv[2], frame, sizeof frame);
  return send(connection, frame, (size_t)size, MSG_NOSIGNAL) == size ? 0 : 1;
}
