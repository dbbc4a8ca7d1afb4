/*
 * main.c: the launcher. It owns run.sock, knows who connects, starts broker, executor and the sandboxed commands.
 *
 * It MUST, and test/e2e/launcher-musts.test.ts sees to it that each number has a test:
 *
 *   L1  take identity only from a connection that it accepted itself, at accept, and never from a message
 *   L2  give executor and broker the same bytes of a request, unread
 *   L3  start a command only after PREPARE and OPEN from the executor's channel, for a request that is waiting
 *   L4  take no frame out of its turn: an unknown frame, or a known one in another state, ends both services
 *   L5  drop before it executes: ids, groups, five capability sets, no_new_privs, seccomp; services cannot exec again
 *   L6  leave a command no descriptor but 0, 1 and 2, each of an accepted kind, and sealed inputs
 *   L7  execute the file that was hashed: the same device, inode, size, mtime and ctime, by descriptor
 *   L8  end every process of a run: at its time limit, when its client is gone (unless the run is one that
 *       detaches), a service dies, or it dies itself
 *
 *   L9  leave nothing behind: process, mount, cgroup, namespace, socket
 *
 *  L10  allocate nothing: no malloc in its own code, every table has its size here
 *
 * It MUST NOT decide, parse a request, JSON or a policy, or read its environment.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launcher.h"

#define BOOT_MAGIC 0x31424442u /* "BDB1" */
#define MAX_BACKOFF_MS 30000u
#define STABLE_MS 60000u /* services that lived this long start again at once */

static int loop = -1, bridge = -1;
static char bridge_path[4096];
static uint8_t boot[1u << 20];
static bool failed, stopping, listening, reload_due; /* `failed`: set by services_failed, acted on by the loop */
static uint64_t restart_at_ms, started_at_ms, backoff_ms = 250, stop_by_ms; /* 0: not, or not stopping */
static uint64_t alive_at_ms, alive_every_ms; /* when the supervisor is told next that we turn; 0: it does not ask */

static uint64_t tag_of(enum watch kind, uint32_t index) { return (uint64_t)kind << 32 | index; }

bool watch(int fd, enum watch kind, uint32_t index, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u64 = tag_of(kind, index)};
  return epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event) == 0 ||
         (errno == EEXIST && epoll_ctl(loop, EPOLL_CTL_MOD, fd, &event) == 0);
}

void unwatch(int fd) { (void)epoll_ctl(loop, EPOLL_CTL_DEL, fd, NULL); }

void services_failed(const char *why) {
  if (!failed) note(why);
  failed = true;
}

void service_send(uint32_t name, uint16_t kind, const struct part *parts, size_t count) {
  struct channel *channel = &services[name].channel;
  if (!channel_send(channel, kind, parts, count))
    services_failed("a service does not take frames");
  else if (channel->out_size > 0)
    (void)watch(channel->fd, WATCH_CHANNEL, name, EPOLLIN | EPOLLOUT); /* it is there: to change it takes no memory */
}

void services_send(uint16_t kind, const struct part *parts, size_t count) {
  service_send(EXECUTOR, kind, parts, count);
  service_send(BROKER, kind, parts, count);
}

/* ---- what the services may say, and when (L3, L4) ---- */

/* Safe whatever it says: of the kept ones a run gets those of its plan, which comes from the executor too. */
static bool take_kept(struct cursor *body) {
  spares_drop(); /* made for another policy, if there are any */
  host.kept = take_u64(body);
  for (uint32_t i = 0; i < MAX_SPARES; i++) spares_refill();
  return body->at == body->end;
}

static bool from_executor(uint16_t kind, struct cursor *body) {
  if (kind == WIRE_EXECUTOR_READY && !services[EXECUTOR].ready) return services[EXECUTOR].ready = take_kept(body);
  if (!services_ready()) return false;
  if (kind == WIRE_KEPT) return take_kept(body);
  if (kind == WIRE_PREPARE) return run_prepare(body);
  if (kind == WIRE_OPEN) return run_open(body);
  if (kind == WIRE_READ) return run_read(body);
  return false;
}

static bool from_broker(uint16_t kind, struct cursor *body) {
  if (kind == WIRE_BROKER_READY && !services[BROKER].ready) return services[BROKER].ready = true;
  if (!services_ready()) return false;
  if (kind == WIRE_REFUSE) return run_refuse(body);
  return false;
}

static void channel_event(uint32_t index, uint32_t events) {
  struct channel *channel = &services[index].channel;
  if (channel->fd < 0) return;
  if ((events & EPOLLOUT) != 0 && channel_flush(channel) && channel->out_size == 0)
    (void)watch(channel->fd, WATCH_CHANNEL, index, EPOLLIN);
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  if (!channel_receive(channel, index == EXECUTOR ? from_executor : from_broker))
    services_failed(index == EXECUTOR ? "the executor is gone or out of turn" : "the broker is gone or out of turn");
  if (!listening && services_ready()) {
    listening = door_listen();
    if (!listening) services_failed("clients cannot be let in");
    if (!listening) return;
    (void)!write(1, "ready\n", 6);
    tell_supervisor("READY=1");
  }
}

/* ---- start, restart, stop ---- */

static void start_services(void) {
  struct wire_hello hello = {.version = WIRE_VERSION, .features = host.features};
  struct part part = {&hello, sizeof hello};
  started_at_ms = now_ms();
  restart_at_ms = 0;
  failed = !services_start(bridge);
  if (!failed) services_send(WIRE_HELLO, &part, 1);
}

/* Both services end together, and every run with them: see service.c. */
static void recover(void) {
  run_lose_all();
  services_stop(false);
  if (now_ms() - started_at_ms > STABLE_MS) backoff_ms = 250;
  restart_at_ms = now_ms() + backoff_ms;
  backoff_ms = backoff_ms * 2 > MAX_BACKOFF_MS ? MAX_BACKOFF_MS : backoff_ms * 2;
  failed = false; /* run_lose_all could not tell the dead one */
}

static bool runs_left(void) {
  for (uint32_t i = 0; i < MAX_SLOTS; i++)
    if (slots[i].process.pidfd >= 0 && slots[i].state != SLOT_FREE) return true;
  return false;
}

static void signal_event(int signals) {
  struct signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == (ssize_t)sizeof info)
    if (info.ssi_signo == SIGHUP && info.ssi_code <= 0) /* by kill(2); of a terminal that hangs up the kernel says so */
      reload_due = true;
    else if (info.ssi_signo != SIGPIPE && !stopping) {
      stopping = true;
      stop_by_ms = now_ms() + HANGUP_GRACE_MS;
    }
  if (stopping) tell_supervisor("STOPPING=1");
}

/* ---- the loop ---- */

static void client_event(struct slot *slot, uint32_t events) {
  if ((events & EPOLLIN) != 0) door_read(slot);
  if (slot->client >= 0 && slot->state != SLOT_FREE && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0)
    run_client_gone(slot);
}

static void dispatch(const struct epoll_event *event, int signals) {
  const enum watch kind = (enum watch)(event->data.u64 >> 32);
  uint32_t index = (uint32_t)event->data.u64;
  struct slot *slot = slot_tagged(index); /* for clients and runs */
  if (kind == WATCH_SIGNALS) signal_event(signals);
  if (kind == WATCH_DOOR) door_accept(services_ready() && !failed && !stopping);
  if (kind == WATCH_CHANNEL) channel_event(index, event->events);
  if (kind == WATCH_SERVICE) services_failed(index == EXECUTOR ? "the executor died" : "the broker died");
  if (kind == WATCH_MOUNTS) templates_drop();
  if (slot == NULL) return;
  if (kind == WATCH_CLIENT && slot->client >= 0) client_event(slot, event->events);
  if (kind == WATCH_GATE && slot->process.gate >= 0) run_reported(slot);
  if (kind == WATCH_RELAY && slot->relay.gate >= 0) run_relayed(slot);
  if (kind == WATCH_PROXY && slot->word >= 0) run_proxied(slot);
  if (kind == WATCH_PROCESS && slot->process.pidfd >= 0) run_exited(slot);
}

/* Milliseconds until the next deadline; it also acts on those that have passed. */
static int next_timeout(void) {
  uint64_t now = now_ms(), next = stopping ? stop_by_ms : restart_at_ms;
  /* Only while both services are there: a bridge that cannot start them is one that its supervisor starts anew. */
  if (alive_every_ms != 0 && listening && services_ready()) {
    if (now >= alive_at_ms) tell_supervisor("WATCHDOG=1");
    if (now >= alive_at_ms) alive_at_ms = now + alive_every_ms;
    next = next == 0 || alive_at_ms < next ? alive_at_ms : next;
  }
  for (uint32_t i = 0; i < MAX_SLOTS; i++) {
    if (slots[i].state != SLOT_FREE && slots[i].deadline_ms != 0 && slots[i].deadline_ms <= now) run_expired(&slots[i]);
    uint64_t deadline = slots[i].state == SLOT_FREE ? 0 : slots[i].deadline_ms;
    if (deadline != 0 && (next == 0 || deadline < next)) next = deadline;
  }
  if (failed) return 0; /* a deadline above has just said so: nobody else would wake the loop */
  if (next == 0) return -1;
  if (next > now + INT_MAX) return INT_MAX; /* 24 days: then it is looked at again */
  return next <= now ? 0 : (int)(next - now);
}

static void run_loop(int signals) {
  struct epoll_event events[64];
  /* Who hangs in a client's file system cannot be ended; the bridge can. */
  while (!stopping || (runs_left() && now_ms() < stop_by_ms)) {
    int count = epoll_wait(loop, events, 64, next_timeout());
    for (int i = 0; i < count; i++) dispatch(&events[i], signals);
    if (stopping) run_lose_all();
    if (failed) recover();
    if (!stopping && restart_at_ms != 0 && now_ms() >= restart_at_ms) start_services();
    if (reload_due && services_ready()) { /* those that start may have read the policy before it was another */
      reload_due = false;
      services_send(WIRE_RELOAD, NULL, 0);
    }
  }
}

/* Trusted: the boot file. It is root's and was written by `belladonna up`, which is root; who could change it could
 * have started another program in our place. Still every length in it is checked. */
static void read_boot(const char *path) {
  struct stat st;
  static char run_path[4096], cgroup_paths[3][4096];
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 || fstat(fd, &st) != 0) die(path);
  errno = EPERM;
  if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 022) != 0) die("boot file is not ours alone");
  ssize_t size = read(fd, boot, sizeof boot);
  close(fd);
  struct cursor c = {.at = boot, .end = boot + (size < 0 ? 0 : size), .bad = size < 0};
  if (take_u32(&c) != BOOT_MAGIC || take_u32(&c) != WIRE_VERSION) c.bad = true;
  take_text(&c, take_u16(&c), run_path, sizeof run_path);
  take_text(&c, take_u16(&c), bridge_path, sizeof bridge_path);
  max_per_uid = take_u32(&c);
  alive_every_ms = take_u32(&c);
  supervisor.size = take_u16(&c);
  supervisor.address = take(&c, supervisor.size);
  bool inside = take_u8(&c) != 0;
  for (int i = 0; i < 3; i++) take_text(&c, take_u16(&c), cgroup_paths[i], sizeof cgroup_paths[i]);
  for (enum service_name name = EXECUTOR; name <= RECORDER; name++) {
    uint32_t plan_size = take_u32(&c);
    const uint8_t *plan = take(&c, plan_size);
    uint32_t command_size = take_u32(&c);
    const uint8_t *command = take(&c, command_size);
    if (plan != NULL && command != NULL)
      services_describe(name, (struct cursor){.at = plan, .end = plan + plan_size},
                        (struct cursor){.at = command, .end = command + command_size});
  }
  errno = EBADMSG;
  if (c.bad || c.at != c.end) die("boot file");
  host_detect();
  cgroups_open(inside, cgroup_paths[0], cgroup_paths[1], cgroup_paths[2]);
  if (!try_namespaces()) die("namespaces of a run");
  if (!nursery_open()) die("clone");
  bridge = listen_at(bridge_path, 0666); /* answers questions; runs nothing */
  if (listen(bridge, 128) != 0) die("listen");
  door_open(run_path);
}

static void interrupt(int number) { (void)number; }

/* A known start whatever the caller left: descriptors, signals, limits, umask, environment (C30). */
static int clean_start(void) {
  sigset_t wanted;
  struct sigaction standard = {.sa_handler = SIG_DFL}, interrupting = {.sa_handler = interrupt}; /* no SA_RESTART */
  struct rlimit descriptors = {.rlim_cur = 16384, .rlim_max = 16384};
  struct stat st;
  static char *nothing[] = {NULL};
  environ = nothing;
  for (int fd = 0; fd < 3; fd++)
    if (fstat(fd, &st) != 0 && open("/dev/null", O_RDWR) != fd) _exit(1);
  if (syscall(SYS_close_range, 3u, ~0u, 0) != 0) die("close_range");
  int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (null < 0 || dup2(null, 0) != 0) die("/dev/null");
  for (int place = null; place < PLACES; place++)
    if (place > null && dup3(null, place, O_CLOEXEC) != place) die("/dev/null");
  for (int number = 1; number < 65; number++) sigaction(number, &standard, NULL);
  sigaction(SIGALRM, &interrupting, NULL);
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGTERM);
  sigaddset(&wanted, SIGINT);
  sigaddset(&wanted, SIGHUP);
  sigaddset(&wanted, SIGPIPE);
  if (sigprocmask(SIG_SETMASK, &wanted, NULL) != 0) die("sigprocmask");
  if (!forget_starter()) die("personality");
  umask(077);
  (void)setrlimit(RLIMIT_NOFILE, &descriptors); /* lower is fine too: accept then fails and the client hears of it */
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) die("PR_SET_DUMPABLE");
  return signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    note("usage: belladonna-launcher BOOT-FILE (started by `belladonna up`)");
    return 2;
  }
  for (int i = EXECUTOR; i <= BROKER; i++) {
    services[i].process = no_process;
    services[i].channel.fd = -1;
  }
  int signals = clean_start();
  loop = epoll_create1(EPOLL_CLOEXEC);
  if (signals < 0 || loop < 0 || !watch(signals, WATCH_SIGNALS, 0, EPOLLIN)) die("epoll");
  read_boot(argv[1]); /* the nursery is cloned: what is touched from here on is not in all that come from it */
  for (uint32_t i = 0; i < MAX_SLOTS; i++) slots[i].process = slots[i].relay = slots[i].proxy = no_process;
  int mounts = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
  if (mounts < 0 || !watch(mounts, WATCH_MOUNTS, 0, EPOLLPRI)) die("/proc/self/mountinfo");
  start_services();
  run_loop(signals);
  door_close();
  services_stop(true);
  unlink(bridge_path);
  unlink(argv[1]);
  spares_release();
  cgroups_close();
  return 0;
}
