/*
 * terminal-client.c: a client at a terminal that does what bell does not: `terminal-client SOCKET FRAME SECONDS` sends
 * that request and then for so long nothing but that its size has changed; what it types comes with descriptors; it
 * answers no stop. At last it types the end of file, and says how many stops it heard of, and the kind of the answer.
 * `terminal-client SOCKET FRAME MICROSECONDS KEY` types that key so long after the command may begin, and Ctrl-C at each
 * stop.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void pass(int socket, const void *bytes, size_t size, const int *fds, size_t count) {
  union {
    char bytes[CMSG_SPACE(3 * sizeof(int))];
    struct cmsghdr align;
  } control = {0};
  struct iovec part = {(void *)(uintptr_t)bytes, size};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  control.align.cmsg_level = SOL_SOCKET;
  control.align.cmsg_type = SCM_RIGHTS;
  control.align.cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(&control.align), fds, count * sizeof(int));
  if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) err(2, "sendmsg");
}

/* The kind of the next frame, and the descriptor that came with it. */
static unsigned next_kind(int socket, int *keys) {
  uint8_t frame[8], body[4096];
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec part = {frame, sizeof frame};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (recvmsg(socket, &message, 0) != sizeof frame) return 0;
  size_t size = frame[0] | (size_t)frame[1] << 8;
  if (size > sizeof body || recv(socket, body, size, MSG_WAITALL) != (ssize_t)size) return 0;
  const struct cmsghdr *came = CMSG_FIRSTHDR(&message);
  if (came != NULL) memcpy(keys, CMSG_DATA(came), sizeof *keys);
  return frame[4] | (unsigned)frame[5] << 8;
}

/* A key that comes before the launcher's SIGCONT is lost to it, if it is Ctrl-Z: signal(7). So it is typed again. */
static void type_early(int socket, int *keys, useconds_t wait_us, const char *key) {
  static const uint8_t ready[12] = {4, 0, 0, 0, 2, 1, 0, 0, 18};
  struct pollfd answer = {.fd = socket, .events = POLLIN};
  unsigned kind;
  do {
    if (send(socket, ready, sizeof ready, MSG_NOSIGNAL) != sizeof ready) err(4, "send");
    usleep(wait_us);
    do
      if (send(*keys, key, 1, MSG_NOSIGNAL) != 1) err(5, "send");
    while (poll(&answer, 1, 500) == 0);
    key = "\x03";
  } while ((kind = next_kind(socket, keys)) == 0x0183);
  printf("answer %x\n", kind);
}

int main(int argc, char **argv) {
  static const uint8_t resized[12] = {4, 0, 0, 0, 2, 1, 0, 0, 28};
  static const int stdio[] = {0, 1, 2};
  static uint8_t request[65536];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int connection = socket(AF_UNIX, SOCK_STREAM, 0), keys = -1, file = argc >= 4 ? open(argv[2], O_RDONLY) : -1;
  ssize_t size = read(file, request, sizeof request);
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  if (size < 0 || connect(connection, (struct sockaddr *)&address, sizeof address) != 0) err(2, "%s", argv[1]);
  pass(connection, request, (size_t)size, stdio, 3);
  if (next_kind(connection, &keys) != 0x0183 || keys < 0) errx(3, "no terminal");
  if (argc == 5) type_early(connection, &keys, (useconds_t)atoi(argv[3]), argv[4]);
  if (argc == 5) return 0;
  unsigned long sent = 0;
  for (time_t end = time(NULL) + atoi(argv[3]); time(NULL) < end; sent++)
    if (send(connection, resized, sizeof resized, MSG_NOSIGNAL) != sizeof resized) err(4, "send");
  for (int i = 0; i < 200; i++) pass(keys, "x\n", 2, stdio, 3);
  if (write(keys, "\x04", 1) != 1) err(5, "write");
  unsigned stops = 0, kind;
  while ((kind = next_kind(connection, &keys)) == 0x0183) stops++;
  printf("%s, stops %u, answer %x\n", sent > 10000 ? "many" : "few", stops, kind);
  return 0;
}
