/*
 * A client of run.sock that does what bell does not: stops in the middle, passes many descriptors, or has its
 * connection used by another process. Its frame comes from a file. It prints what the other side answers.
 *
 *   strange-client cut SOCKET FRAME BYTES DESCRIPTORS TIMES  sends so much of it so often, and is gone each time
 *   strange-client many SOCKET FRAME DESCRIPTORS             the whole frame with so many descriptors
 *   strange-client input SOCKET FRAME SEALS                  memory with these seals, at offset 3, as stdin and input
 *   strange-client lend SOCKET FRAME UID OTHER               UID connects, OTHER sends
 *   strange-client reuse SOCKET FRAME UID OTHER LAUNCHER     UID connects and ends; then OTHER has its pid
 *   strange-client zombie SOCKET FRAME UID LAUNCHER          UID connects and ends, but nobody waits for it
 *   strange-client odd SOCKET FRAME PLACE KIND               a descriptor of that kind as stdin, stdout or stderr; KIND is
 *                                                            a word, or the path of what is opened. 3: it cannot be had
 *   strange-client late SOCKET FRAME                         three descriptors with the first bytes, three with the rest
 *   strange-client signal SOCKET FRAME NUMBER DESCRIPTORS    the frame, and in the next message this signal
 *   strange-client flood SOCKET FRAME NUMBER UID OUTPUT      as UID: this signal again and again, once the command has
 *                                                            written something; OUTPUT: a pipe that is read, or a
 *                                                            `terminal` that is read slowly
 *   strange-client slow SOCKET UID COUNT SECONDS             COUNT connections that send a byte each second; prints how
 *                                                            many are open after each second
 *   strange-client hold SOCKET UID COUNT SECONDS PASSED        COUNT connections with one byte and PASSED descriptors,
 *                                                            each made again at once when it is ended; prints how many
 *                                                            that were
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "client.h"
#include "wire.h"

static void send_part(int fd, size_t size, int count) {
  int fds[253];
  for (int i = 0; i < count; i++) fds[i] = null_device();
  if (size > 0) (void)send_with(fd, 0, size, fds, count, 0); /* the other side may have ended it already */
}

/* "hunter2", for which nothing is done that the seals forbid. The command's stdout is ours. */
static void send_input(int fd, int seals) {
  int memory = memfd_create("x", MFD_ALLOW_SEALING);
  if (memory < 0 || write(memory, "hunter2", 7) != 7 || fcntl(memory, F_ADD_SEALS, seals) != 0) err(2, "memfd");
  if (lseek(memory, 3, SEEK_SET) != 3) err(2, "lseek");
  const int fds[4] = {memory, STDOUT_FILENO, null_device(), memory};
  if (!send_with(fd, 0, frame_size, fds, 4, 0)) err(2, "sendmsg");
}

/* Of a kind that no standard stream is of. */
static int odd_descriptor(const char *kind) {
  int pair[2] = {-1, -1};
  if (strcmp(kind, "dgram") == 0 || strcmp(kind, "seqpacket") == 0)
    (void)socketpair(AF_UNIX, kind[0] == 'd' ? SOCK_DGRAM : SOCK_SEQPACKET, 0, pair);
  else if (strcmp(kind, "eventfd") == 0)
    pair[0] = eventfd(0, 0);
  else if (strcmp(kind, "epoll") == 0)
    pair[0] = epoll_create1(0);
  else if (strcmp(kind, "inotify") == 0)
    pair[0] = inotify_init();
  else
    pair[0] = open(kind, O_RDONLY | O_NONBLOCK);
  return pair[0];
}

static void send_odd(int fd, int place, const char *kind) {
  int fds[3] = {null_device(), null_device(), null_device()};
  if (place < 0 || place > 2 || (fds[place] = odd_descriptor(kind)) < 0) exit(3);
  if (!send_with(fd, 0, frame_size, fds, 3, 0)) err(2, "sendmsg");
}

/* Once the command has written something. */
static void send_signal(int fd, uint32_t number, int count) {
  const struct wire_head head = {.size = sizeof number, .kind = WIRE_SIGNAL};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) err(2, "pipe");
  const int fds[3] = {null_device(), ends[1], null_device()};
  if (!send_with(fd, 0, frame_size, fds, 3, 0)) err(2, "sendmsg");
  close(ends[1]);
  if (read(ends[0], frame, 1) != 1) errx(2, "the command wrote nothing");
  memcpy(frame, &head, sizeof head);
  memcpy(frame + sizeof head, &number, sizeof number);
  const int others[3] = {null_device(), null_device(), null_device()};
  (void)send_with(fd, 0, sizeof head + sizeof number, others, count, 0);
}

/* What is read from here is written to `ends[1]`. */
static void open_output(int *ends, int is_terminal) {
  if (!is_terminal && pipe2(ends, O_CLOEXEC) != 0) err(2, "pipe");
  if (!is_terminal) return;
  ends[0] = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ends[0] < 0 || grantpt(ends[0]) != 0 || unlockpt(ends[0]) != 0) err(2, "pty");
  ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ends[1] < 0) err(2, "pty");
}

static void flood(int fd, uint32_t number, int is_terminal) {
  static const struct wire_head head = {.size = sizeof number, .kind = WIRE_SIGNAL};
  enum { EACH = sizeof head + sizeof number, TIMES = 1000 };
  static char nothing[65536];
  int ends[2];
  open_output(ends, is_terminal);
  const int fds[3] = {null_device(), ends[1], null_device()};
  if (!send_with(fd, 0, frame_size, fds, 3, 0)) err(2, "sendmsg");
  close(ends[1]);
  if (read(ends[0], frame, 1) != 1) errx(2, "the command wrote nothing");
  pid_t reader = fork();
  if (reader == 0) {
    while (read(ends[0], nothing, is_terminal ? 64 : sizeof nothing) > 0) usleep(is_terminal ? 30000 : 0);
    _exit(0);
  }
  for (int i = 0; i < TIMES; i++) {
    memcpy(frame + i * EACH, &head, sizeof head);
    memcpy(frame + i * EACH + sizeof head, &number, sizeof number);
  }
  while (send(fd, frame, TIMES * EACH, MSG_NOSIGNAL) == TIMES * EACH) continue;
  kill(reader, SIGKILL);
}

static void print_answer(int fd) {
  char bytes[4096];
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  while (poll(&ready, 1, 10000) == 1) {
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n <= 0) return;
    fwrite(bytes, 1, (size_t)n, stdout);
  }
}

/* A process of `uid` that has connected `fd`, and is gone or, with `stays`, waits to be killed. */
static pid_t connect_as(int fd, uid_t uid, int stays) {
  int status, done[2];
  char byte;
  if (pipe2(done, O_CLOEXEC) != 0) err(2, "pipe");
  pid_t pid = fork();
  if (pid == 0) {
    become(uid);
    dial(fd);
    close(done[1]);
    if (stays) close(done[0]);
    for (; stays;) pause();
    _exit(0);
  }
  close(done[1]);
  if (read(done[0], &byte, 1) != 0) err(2, "read");
  close(done[0]);
  if (!stays && (waitpid(pid, &status, 0) != pid || status != 0)) errx(2, "a child failed");
  return pid;
}

/* A process of `uid` that has the pid `wanted` and waits to be killed. -1: somebody else has that pid. */
static pid_t take_pid(pid_t wanted, uid_t uid) {
  const struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&wanted, .set_tid_size = 1};
  pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0 && errno != EEXIST) err(2, "clone3");
  if (pid != 0) return pid;
  become(uid);
  for (;;) pause();
}

/* The launcher while it is stopped. It goes on however we end: our caller waits for what it does next. */
static pid_t stopped;
static void go_on(void) {
  if (stopped > 1 && kill(stopped, SIGCONT) != 0) warn("continue");
  stopped = 0;
}

/* `uid` connects and ends, and `other` gets its pid. Where many processes start, another is sometimes faster: again. */
static pid_t reuse(int *fd, uid_t uid, uid_t other, pid_t launcher) {
  atexit(go_on);
  for (int attempt = 0; attempt < 1000; attempt++) {
    stopped = launcher;
    if (launcher > 1 && kill(launcher, SIGSTOP) != 0) err(2, "stop");
    pid_t taker = take_pid(connect_as(*fd, uid, 0), other);
    go_on();
    if (taker > 0) return taker;
    close(*fd);
    *fd = new_socket();
  }
  errx(2, "no pid is to be had twice");
}

static void slow(uid_t uid, int count, int seconds) {
  static struct pollfd clients[1024];
  become(uid);
  for (int i = 0; i < count; i++) {
    clients[i] = (struct pollfd){.fd = new_socket(), .events = POLLRDHUP};
    dial(clients[i].fd);
  }
  for (int second = 0; second < seconds; second++) {
    int open_count = 0;
    for (int i = 0; i < count; i++) (void)send(clients[i].fd, &frame[second], 1, MSG_NOSIGNAL);
    sleep(1);
    poll(clients, (nfds_t)count, 0);
    for (int i = 0; i < count; i++) open_count += (clients[i].revents & (POLLHUP | POLLRDHUP)) == 0;
    printf("%d\n", open_count);
    fflush(stdout);
  }
}

static void hold(uid_t uid, int count, int seconds, int passed) {
  static struct pollfd clients[1024];
  const time_t end = time(NULL) + seconds;
  long made = 0;
  become(uid);
  for (int i = 0; i < count; i++) clients[i] = (struct pollfd){.fd = -1, .events = POLLRDHUP};
  while (time(NULL) < end) {
    for (int i = 0; i < count; i++) {
      if (clients[i].fd >= 0 && (clients[i].revents & (POLLHUP | POLLRDHUP | POLLERR)) == 0) continue;
      if (clients[i].fd >= 0) close(clients[i].fd);
      clients[i].fd = new_socket();
      dial(clients[i].fd);
      send_part(clients[i].fd, 1, passed);
      made++;
    }
    poll(clients, (nfds_t)count, 100);
  }
  printf("%ld\n", made);
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOFBF, 0);
  if (argc < 4) errx(2, "usage");
  const char *mode = argv[1];
  name_socket(argv[2]);
  if (strcmp(mode, "slow") == 0 && argc == 6) {
    memset(frame, 'G', sizeof frame);
    slow((uid_t)atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    return 0;
  }
  if (strcmp(mode, "hold") == 0 && argc == 7) {
    hold((uid_t)atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
    return 0;
  }
  read_frame(argv[3]);
  if (strcmp(mode, "cut") == 0 && argc == 7) {
    size_t size = (size_t)atoi(argv[4]);
    for (int i = 0; i < atoi(argv[6]); i++) {
      int fd = new_socket();
      dial(fd);
      send_part(fd, size < frame_size ? size : frame_size, atoi(argv[5]));
      close(fd);
    }
    return 0;
  }
  int fd = new_socket();
  if (strcmp(mode, "many") == 0) {
    dial(fd);
    send_part(fd, frame_size, atoi(argv[4]));
  } else if (strcmp(mode, "input") == 0) {
    dial(fd);
    send_input(fd, atoi(argv[4]));
  } else if (strcmp(mode, "lend") == 0 && argc == 6) {
    pid_t opener = connect_as(fd, (uid_t)atoi(argv[4]), 1);
    pid_t sender = fork();
    if (sender == 0) {
      become((uid_t)atoi(argv[5]));
      send_part(fd, frame_size, 3);
      print_answer(fd);
      fflush(stdout);
      _exit(0);
    }
    waitpid(sender, NULL, 0);
    kill(opener, SIGKILL);
    waitpid(opener, NULL, 0);
    return 0;
  } else if (strcmp(mode, "reuse") == 0 && argc == 7) {
    pid_t taker = reuse(&fd, (uid_t)atoi(argv[4]), (uid_t)atoi(argv[5]), atoi(argv[6]));
    send_part(fd, frame_size, 3);
    print_answer(fd);
    kill(taker, SIGKILL);
    waitpid(taker, NULL, 0);
    return 0;
  } else if (strcmp(mode, "zombie") == 0 && argc == 6) {
    siginfo_t info;
    pid_t launcher = atoi(argv[5]);
    if (kill(launcher, SIGSTOP) != 0) err(2, "stop");
    pid_t child = fork();
    if (child == 0) {
      become((uid_t)atoi(argv[4]));
      dial(fd);
      _exit(0);
    }
    if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) != 0) err(2, "waitid");
    if (kill(launcher, SIGCONT) != 0) err(2, "continue");
    send_part(fd, frame_size, 3);
  } else if (strcmp(mode, "odd") == 0 && argc == 6) {
    dial(fd);
    send_odd(fd, atoi(argv[4]), argv[5]);
  } else if (strcmp(mode, "late") == 0) {
    const int fds[3] = {null_device(), null_device(), null_device()};
    dial(fd);
    if (!send_with(fd, 0, 8, fds, 3, 0)) err(2, "sendmsg");
    (void)send_with(fd, 8, frame_size - 8, fds, 3, 0);
  } else if (strcmp(mode, "flood") == 0 && argc == 7) {
    become((uid_t)atoi(argv[5]));
    dial(fd);
    flood(fd, (uint32_t)strtoul(argv[4], NULL, 10), strcmp(argv[6], "terminal") == 0);
  } else if (strcmp(mode, "signal") == 0 && argc == 6) {
    dial(fd);
    send_signal(fd, (uint32_t)strtoul(argv[4], NULL, 10), atoi(argv[5]));
  } else
    errx(2, "usage");
  print_answer(fd);
  return 0;
}
