/*
 * object.c: makes something that others might see, and looks for it, for isolation.test.ts.
 *
 *   object make KIND [PLACE]    makes it, prints "made", and holds it until the end of its input
 *   object find KIND [PLACE]    "found", or "errno N"
 *   object both KIND [PLACE]    makes it in one process and finds it from another
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define KEY 0x42424242
#define PORT 4567

static const char *place = "";

static int tmp(int making) { return open("/tmp/object", making ? O_CREAT | O_EXCL | O_RDWR : O_RDONLY, 0600); }
static int posix_memory(int making) { return shm_open("/object", making ? O_CREAT | O_EXCL | O_RDWR : O_RDONLY, 0600); }
static int memory(int making) { return shmget(KEY, making ? 4096 : 0, making ? IPC_CREAT | IPC_EXCL | 0600 : 0); }
static int semaphore(int making) { return semget(KEY, making ? 1 : 0, making ? IPC_CREAT | IPC_EXCL | 0600 : 0); }
static int messages(int making) { return msgget(KEY, making ? IPC_CREAT | IPC_EXCL | 0600 : 0); }
static int posix_queue(int making) {
  return mq_open("/object", making ? O_CREAT | O_EXCL | O_RDWR : O_RDONLY, 0600, NULL);
}

static int meet(int making, const struct sockaddr *address, socklen_t size) {
  int fd = socket(address->sa_family, SOCK_STREAM, 0);
  if (fd < 0) return -1;
  if (!making) return connect(fd, address, size);
  return bind(fd, address, size) != 0 ? -1 : listen(fd, 1);
}

static int abstract(int making) {
  struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0object"};
  return meet(making, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 7));
}

static int loopback(int making) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return meet(making, (struct sockaddr *)&at, sizeof at);
}

static int process(int making) {
  char path[300], name[32];
  if (making) return prctl(PR_SET_NAME, "object-made");
  DIR *list = opendir("/proc");
  struct dirent *entry;
  while (list != NULL && (entry = readdir(list)) != NULL) {
    snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
    int fd = open(path, O_RDONLY);
    ssize_t size = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
    if (fd >= 0) close(fd);
    if (size == 12 && memcmp(name, "object-made\n", 12) == 0) return 0;
  }
  errno = ESRCH;
  return -1;
}

/* Over a directory that both see. */
static int mounted(int making) {
  char path[4096];
  snprintf(path, sizeof path, "%s/object", place);
  if (making && mount("none", place, "tmpfs", 0, NULL) != 0) return -1;
  return open(path, making ? O_CREAT | O_EXCL | O_RDWR : O_RDONLY, 0600);
}

static const struct {
  const char *name;
  int (*meet)(int making);
} kinds[] = {
    {"tmp", tmp},           {"posix-memory", posix_memory}, {"memory", memory},     {"semaphore", semaphore},
    {"messages", messages}, {"posix-queue", posix_queue},   {"abstract", abstract}, {"loopback", loopback},
    {"process", process},   {"mounted", mounted},
};

static int act(const char *kind, int making) {
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
    if (strcmp(kinds[i].name, kind) == 0) return kinds[i].meet(making);
  exit(2);
}

static void say(const char *word, int result) {
  if (result < 0)
    printf("errno %d\n", errno);
  else
    printf("%s\n", word);
  fflush(stdout);
}

static void both(const char *kind) {
  int ends[2];
  char byte;
  if (pipe(ends) != 0) exit(2);
  pid_t maker = fork();
  if (maker == 0) {
    int made = act(kind, 1);
    if (made < 0) say("", made);
    (void)!write(ends[1], "m", 1);
    for (;;) pause();
  }
  if (read(ends[0], &byte, 1) == 1) say("found", act(kind, 0));
  kill(maker, SIGKILL);
  waitpid(maker, NULL, 0);
}

int main(int argc, char **argv) {
  char byte;
  if (argc < 3) return 2;
  if (argc > 3) place = argv[3];
  if (strcmp(argv[1], "both") == 0) both(argv[2]);
  if (strcmp(argv[1], "find") == 0) say("found", act(argv[2], 0));
  if (strcmp(argv[1], "make") == 0) {
    say("made", act(argv[2], 1));
    while (read(0, &byte, 1) > 0) continue;
  }
  return 0;
}
