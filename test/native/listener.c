/* listener.c: binds a datagram socket, as systemd does for sd_notify(3), and prints each message as a line. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char text[256];
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  if (argc != 2 || strlen(argv[1]) >= sizeof address.sun_path) return 2;
  strcpy(address.sun_path, argv[1]);
  if (argv[1][0] == '@') address.sun_path[0] = 0;
  socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(argv[1]));
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0) return 1;
  printf("bound\n");
  fflush(stdout);
  for (;;) {
    ssize_t size = recv(fd, text, sizeof text, 0);
    if (size < 0) return 1;
    printf("%.*s\n", (int)size, text);
    fflush(stdout);
  }
}
