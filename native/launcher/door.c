/*
 * door.c: run.sock, and who is at it.
 *
 * Not trusted: everything a client sends, and every descriptor it passes. Who can connect can at most make us read one
 * frame of 64 KiB and hold up to seven descriptors for two seconds. Identity is fixed here, at accept, from the socket
 * that the kernel connected to ours; nothing in a message and no descriptor that somebody passes changes it (C27, C29,
 * C35).
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "../sandbox/kernel.h"
#include "launcher.h"

#define PROBLEM(ask, code, title)                                                                                      \
  "{" ask "\"code\":\"" code "\",\"title\":\"" title "\",\"type\":\"urn:belladonna:problem:" code "\"}"
#define ASK_LATER "\"ask\":\"again later\","

const char problem_unavailable[] = PROBLEM(ASK_LATER, "unavailable", "a process of the bridge is away");
static const char problem_busy[] = PROBLEM(ASK_LATER, "busy", "too many connections or requests");
static const char problem_stdio[] = PROBLEM(
    "", "stdio_not_accepted",
    "stdin, stdout and stderr must be pipes, connected stream sockets, files, terminals or /dev/null; inputs, sealed");

static int door = -1;
static int reserve = -1; /* one descriptor kept back, so that a client can hear that there is none left */
static const char *door_path;

/* Always through the directory's descriptor: paths over 107 bytes fit, and the directory checked is the one used. */
int listen_at(const char *path, mode_t mode) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct stat st;
  char directory[4096];
  const char *name = strrchr(path, '/');
  if (name == NULL || snprintf(directory, sizeof directory, "%.*s", (int)(name - path), path) >= (int)sizeof directory)
    die("socket path");
  int parent = open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (parent < 0 || fstat(parent, &st) != 0) die(directory);
  errno = EPERM;
  if (st.st_uid != host.uid || (st.st_mode & 022) != 0) die("socket directory is not ours alone");
  static int lock = -1; /* one bridge a directory; the lock goes with our last descriptor of it */
  if (lock < 0 && flock(parent, LOCK_EX | LOCK_NB) != 0) die("another bridge serves this directory");
  if (lock < 0) lock = fcntl(parent, F_DUPFD_CLOEXEC, 3);
  if (unlinkat(parent, name + 1, 0) != 0 && errno != ENOENT) die(path);
  int n = snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", parent, name + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0 || n >= (int)sizeof address.sun_path || bind(fd, (struct sockaddr *)&address, sizeof address) != 0)
    die(path);
  if (fchmodat(parent, name + 1, mode, 0) != 0) die(path);
  close(parent);
  return fd;
}

void door_open(const char *path) {
  door_path = path;
  door = listen_at(path, 0666); /* anybody may ask; the policy answers */
  reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Called when both services are ready: until then a client's connect(2) fails, which says the truth. */
void door_close(void) {
  if (door >= 0) unlink(door_path);
  close_fd(&door);
}

bool door_listen(void) { return listen(door, 128) == 0 && watch(door, WATCH_DOOR, 0, EPOLLIN); }

/* ---- who it is ---- */

/*
 * What /proc says of the peer: whose namespaces it is in, and its cgroups in the kernel's words. `pidfd` is from its
 * socket, and it was alive after we read: so the process id has been its own all the time. Where the kernel has no such
 * descriptors it is opened by number, and may be somebody else's by now: so no cgroups are believed there.
 */
static uint32_t namespace_flags(int fd, pid_t pid, struct slot *slot) {
  char path[3][32];
  int pidfd = -1;
  socklen_t size = sizeof pidfd;
  if (pid == 0) return WIRE_OTHER_PID_NAMESPACE; /* SO_PEERCRED's 0: not visible from here */
  bool vouched = getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0;
  if (!vouched && (host.features & WIRE_FEATURE_PEER_PIDFD) == 0) pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
  if (pidfd < 0) return WIRE_NAMESPACE_UNKNOWN;
  snprintf(path[0], sizeof path[0], "/proc/%d/ns/user", (int)pid);
  snprintf(path[1], sizeof path[1], "/proc/%d/ns/pid", (int)pid);
  snprintf(path[2], sizeof path[2], "/proc/%d/cgroup", (int)pid);
  const uint64_t user = inode_of(path[0]), process = inode_of(path[1]);
  const ssize_t text = vouched ? read_text(AT_FDCWD, path[2], slot->cgroups, WIRE_MAX_CGROUPS) : 0;
  struct pollfd alive = {.fd = pidfd, .events = POLLIN};
  const bool known = poll(&alive, 1, 0) == 0 && user != 0 && process != 0;
  close(pidfd);
  if (!known) return WIRE_NAMESPACE_UNKNOWN;
  /* More than that are too many to be an honest unit's. */
  if (text > 0 && text < (ssize_t)WIRE_MAX_CGROUPS) slot->subject.cgroups_size = (uint32_t)text;
  return (user == host.user_namespace ? 0 : WIRE_OTHER_USER_NAMESPACE) |
         (process == host.pid_namespace ? 0 : WIRE_OTHER_PID_NAMESPACE);
}

/* Everything from the kernel. false: it would not say, so nobody is there (C27). */
static bool identify(int fd, struct slot *slot) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || size != sizeof peer) return false;
  slot->subject = (struct wire_submit){.pid = (uint32_t)peer.pid, .uid = peer.uid, .gid = peer.gid};
  memset(slot->subject.stdio, WIRE_STDIO_FILE, 3); /* until they are looked at: what may be anything */
  size = sizeof slot->groups;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, slot->groups, &size) != 0) return false;
  slot->subject.group_count = (uint32_t)(size / sizeof slot->groups[0]);
  slot->subject.flags = namespace_flags(fd, peer.pid, slot);
  return true;
}

/* Answered at the door. */
static void turn_away(struct slot *slot, const char *problem) {
  refuse_client(slot, 125, problem);
  slot_release(slot);
}

static struct slot turned_away; /* no place is left, but the client hears why */

static struct slot *free_slot(void) {
  for (uint32_t i = 0; i < MAX_SLOTS; i++)
    if (slots[i].state == SLOT_FREE) return &slots[i];
  return &turned_away;
}

uint32_t max_per_uid;

#define ANYBODY UINT32_MAX /* no user */

static uint32_t count(enum slot_state least, enum slot_state most, uint32_t uid) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < MAX_SLOTS; i++) {
    bool theirs = uid == ANYBODY || slots[i].subject.uid == uid;
    if (slots[i].state >= least && slots[i].state <= most && theirs) found++;
  }
  return found;
}

static uint32_t places_of(uint32_t uid) { return count(SLOT_READING, SLOT_ENDED, uid); }
static uint32_t silent_of(uint32_t uid) { return count(SLOT_READING, SLOT_READING, uid); } /* no whole request yet */
static uint32_t places_left(void) { return count(SLOT_FREE, SLOT_FREE, ANYBODY); }

/* A uid has fewer silent connections than there are places left. So however few fill them there are some for others:
 * four hold 24 each, and leave 32. */
static bool may_enter(uint32_t uid) {
  uint32_t silent = silent_of(uid);
  return places_of(uid) < max_per_uid && (silent == 0 || silent + FEW_PLACES < places_left());
}

/* And however many: where few places are left, the uid with most silent connections loses its oldest. Not only where
 * none is left: what it passed may take a moment to be closed. */
static void make_room(void) {
  struct slot *oldest = NULL;
  uint32_t most = 0;
  for (uint32_t i = 0; i < MAX_SLOTS && places_left() < FEW_PLACES; i++) {
    uint32_t silent = slots[i].state == SLOT_READING ? silent_of(slots[i].subject.uid) : 0;
    if (silent < most || silent == 0 || (silent == most && slots[i].deadline_ms >= oldest->deadline_ms)) continue;
    oldest = &slots[i];
    most = silent;
  }
  if (oldest != NULL) turn_away(oldest, problem_busy);
}

/* A service that has much to read is sent one request more of each uid, and at last none: its channel also carries what
 * must not fail. A slot may be free again before both services have read of it, so slots alone do not bound that. */
static bool is_crowded(uint32_t uid) {
  size_t behind = 0;
  for (int i = EXECUTOR; i <= BROKER; i++) {
    const struct channel *channel = &services[i].channel;
    if (channel->out_size - channel->out_from > behind) behind = channel->out_size - channel->out_from;
  }
  return behind > CHANNEL_OUT / 8 * 5 || (behind > CHANNEL_OUT / 4 && places_of(uid) > 1);
}

static int accept_client(void) { return accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

/* Where descriptors are fewer than slots want: who stays unaccepted would wake the loop again and again (C87). */
static void refuse_for_want_of_descriptors(void) {
  if (reserve >= 0) close(reserve);
  turned_away.client = accept_client();
  refuse_client(&turned_away, 125, problem_busy);
  reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void door_accept(bool available) {
  int fd = accept_client();
  if (fd < 0 && (errno == EMFILE || errno == ENFILE)) refuse_for_want_of_descriptors();
  if (fd < 0) return; /* or the client has gone away */
  struct slot *slot = free_slot();
  slot_begin(slot, fd);
  if (slot == &turned_away || !identify(fd, slot) || !available || !may_enter(slot->subject.uid) ||
      !watch(fd, WATCH_CLIENT, slot_tag(slot), EPOLLIN | EPOLLRDHUP)) {
    refuse_client(slot, 125, available ? problem_busy : problem_unavailable);
    return;
  }
  slot->state = SLOT_READING;
  slot->deadline_ms = now_ms() + REQUEST_DEADLINE_MS;
  door_read(slot);
  make_room();
}

/* ---- what it sends ---- */

bool is_sealed(int fd) {
  const int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
  int seals = fcntl(fd, F_GET_SEALS);
  return seals >= 0 && (seals & wanted) == wanted;
}

/* In place of the client's descriptor, whose offset it could still move, one of our own. O_NONBLOCK: it may have a
 * lease on the memory (fcntl(2)), for which an open(2) waits. */
static bool open_anew(int *fd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", *fd);
  int own = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (own < 0) return false;
  close(*fd);
  return fcntl(*fd = own, F_SETFL, 0) == 0;
}

/* enum wire_stdio, or -1. A directory, a device or an O_PATH descriptor would be a way out of the sandbox (C34), and so
 * would a stream socket that its holder can still connect, to any server's: what was connected once stays so. */
static int stdio_kind(int fd) {
  struct stat st;
  struct sockaddr peer; /* may be longer: it is not looked at */
  int type = 0;
  socklen_t size = sizeof type, peer_size = sizeof peer;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || (flags & O_PATH) != 0 || fstatat(fd, "", &st, AT_EMPTY_PATH | AT_STATX_DONT_SYNC) != 0) return -1;
  if (S_ISFIFO(st.st_mode)) return WIRE_STDIO_PIPE;
  if (S_ISREG(st.st_mode)) return is_sealed(fd) ? WIRE_STDIO_SEALED : WIRE_STDIO_FILE;
  if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) return WIRE_STDIO_NULL;
  if (S_ISCHR(st.st_mode) && isatty(fd)) return WIRE_STDIO_TERMINAL;
  if (!S_ISSOCK(st.st_mode) || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return -1;
  return type == SOCK_STREAM && getpeername(fd, &peer, &peer_size) == 0 ? WIRE_STDIO_SOCKET : -1;
}

static void submit(struct slot *slot, size_t size) {
  if (!services_ready() || is_crowded(slot->subject.uid)) {
    turn_away(slot, services_ready() ? problem_busy : problem_unavailable);
    return;
  }
  for (int i = 0; i < STDIO && (i < 3 || slot->stdio[i] >= 0); i++) {
    int kind = stdio_kind(slot->stdio[i]);
    bool sealed = kind == WIRE_STDIO_SEALED;
    if (kind < 0 || (i > 2 && !sealed) || (sealed && !open_anew(&slot->stdio[i]))) {
      turn_away(slot, problem_stdio);
      return;
    }
    if (i < 3) slot->subject.stdio[i] = (uint8_t)kind;
    if (kind == WIRE_STDIO_TERMINAL) slot->terminal = i;
    slot->subject.input_count = i < 3 ? 0 : (uint32_t)i - 2;
  }
  struct wire_submit *subject = &slot->subject;
  subject->time_ms = wall_ms();
  if (getrandom(subject->nonce, sizeof subject->nonce, 0) != sizeof subject->nonce) {
    run_client_gone(slot);
    return;
  }
  slot->run = subject->run = next_run++;
  slot->state = SLOT_SUBMITTED;
  slot->deadline_ms = now_ms() + ANSWER_DEADLINE_MS;
  struct part parts[] = {{&slot->subject, sizeof slot->subject},
                         {slot->groups, slot->subject.group_count * sizeof slot->groups[0]},
                         {slot->cgroups, slot->subject.cgroups_size},
                         {slot->request + sizeof(struct wire_head), size}};
  services_send(WIRE_SUBMIT, parts, 4);
}

/* After the request a client sends signals only, each a frame of twelve bytes. false: it sent something else. */
static bool take_signals(struct slot *slot, const uint8_t *bytes, size_t size) {
  const uint32_t allowed = 1u << SIGHUP | 1u << SIGINT | 1u << SIGQUIT | 1u << SIGTERM | 1u << SIGUSR1 | 1u << SIGUSR2 |
                           1u << SIGCONT | 1u << SIGWINCH;
  struct cursor c = {.at = bytes, .end = bytes + size, .bad = false};
  while (c.at < c.end && slot->state >= SLOT_SUBMITTED && slot->state < SLOT_ENDED) {
    uint32_t body = take_u32(&c), kind = take_u32(&c), signal = take_u32(&c);
    if (c.bad || body != sizeof signal || kind != WIRE_SIGNAL || signal >= 32 || (allowed >> signal & 1) == 0)
      return false;
    run_signal(slot, signal);
  }
  return true;
}

/* Looks at the bytes so far. false: not a request, and the connection ends. */
static bool take_request(struct slot *slot) {
  struct wire_head head;
  if (slot->request_size < sizeof head) return true;
  memcpy(&head, slot->request, sizeof head);
  if (head.kind != WIRE_REQUEST || head.zero != 0 || head.size > WIRE_MAX_REQUEST - sizeof head) return false;
  size_t whole = sizeof head + head.size;
  if (slot->request_size < whole) return true;
  submit(slot, head.size);
  return slot->state != SLOT_SUBMITTED || take_signals(slot, slot->request + whole, slot->request_size - whole);
}

/* Three descriptors, and as many inputs as there may be, come with the first bytes; any other number, at any other
 * time, ends the connection (C28). */
void door_read(struct slot *slot) {
  uint8_t later[120];
  bool reading = slot->state == SLOT_READING;
  size_t count = MAX_DESCRIPTORS, most = reading && slot->stdio[0] < 0 ? STDIO : 0;
  ssize_t n = reading ? receive_descriptors(slot->client, slot->request + slot->request_size,
                                            WIRE_MAX_REQUEST - slot->request_size, slot->odd, &count)
                      : receive_descriptors(slot->client, later, sizeof later, slot->odd, &count);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  bool good = n > 0 && (count == 0 || (count >= 3 && count <= most));
  if (good) memcpy(slot->stdio, slot->odd, count * sizeof slot->odd[0]);
  slot->odd_count = good ? 0 : (int)count;
  if (good && reading) slot->request_size += (size_t)n;
  if (good) good = reading ? take_request(slot) : take_signals(slot, later, (size_t)n);
  if (!good && slot->state != SLOT_FREE) run_client_gone(slot);
}
