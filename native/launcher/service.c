/*
 * service.c: broker and executor: how they are started with their privileges dropped, and how they end.
 *
 * Both or none: they hold one conversation, so when one dies the other goes too, every run is killed, and both start
 * anew. What they had made durable is what they start from.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "launcher.h"

#define START_DEADLINE_MS 20000
#define STOP_DEADLINE_MS 3000

struct service services[2]; /* main() sets the descriptors to -1: initialised here, the buffers would be in the file */
static struct start described[4];

void services_describe(enum service_name name, struct cursor plan, struct cursor command) {
  described[name] = (struct start){.plan = plan,
                                   .command = command,
                                   .template = -1,
                                   .stdio = {0, 2, 2},
                                   .service = true,
                                   .relay = name >= RELAY,
                                   .makes_peer = name == BROKER};
}

bool services_ready(void) { return services[EXECUTOR].ready && services[BROKER].ready; }

/* Receives what `start_service` in sandbox.c sent: the channel, the exec listener, and perhaps the peers' channel. All
 * of it, or what came is closed. */
static bool receive_up(int gate, int *fds, size_t wanted) {
  char byte;
  size_t count = wanted;
  struct pollfd ready = {.fd = gate, .events = POLLIN};
  if (poll(&ready, 1, START_DEADLINE_MS) != 1) return false;
  if (receive_descriptors(gate, &byte, 1, fds, &count) == 1 && count == wanted) return true;
  while (count > 0) close(fds[--count]);
  return false;
}

/*
 * Lets the service's one exec through and closes the listener: from then on the kernel answers ENOSYS to execve.
 * FLAG_CONTINUE is safe here and only here: until that exec the process runs our own code.
 */
static bool permit_one_exec(int listener) {
  struct seccomp_notif asked = {0};
  struct seccomp_notif_resp answer = {.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
  struct pollfd ready = {.fd = listener, .events = POLLIN};
  bool permitted = poll(&ready, 1, START_DEADLINE_MS) == 1 &&
                   ioctl(listener, (int)SECCOMP_IOCTL_NOTIF_RECV, &asked) == 0 && asked.data.nr == SYS_execveat;
  if (permitted) {
    answer.id = asked.id;
    permitted = ioctl(listener, (int)SECCOMP_IOCTL_NOTIF_SEND, &answer) == 0;
  }
  close(listener);
  return permitted;
}

uint32_t service_namespaces(uint32_t name) {
  struct wire_plan plan;
  if (name > RECORDER) return 0;
  struct cursor c = described[name].plan;
  return plan_head(&c, &plan) ? plan.namespaces : 0;
}

_Noreturn void service_child(enum service_name name, int gate, int inherit) {
  struct wire_plan plan;
  struct start start = described[name];
  if (!plan_head(&start.plan, &plan) || (!start.relay && (plan.flags & WIRE_PLAN_NO_EXEC) == 0)) _exit(125);
  service_begin(&start, &plan, gate, inherit);
}

/* Starts one service. `peer` is the channel between the two: made by the broker, handed to the executor. */
static bool start_one(enum service_name name, int bridge_listener, int *peer) {
  struct service *service = &services[name];
  int fds[3];
  bool begun = child_start(&service->process, name, name == BROKER ? bridge_listener : *peer, (struct cursor){0}) &&
               receive_up(service->process.gate, fds, name == BROKER ? 3 : 2);
  if (begun) service->channel.fd = fds[0];
  if (begun && name == BROKER) *peer = fds[2];
  service->channel.in_size = service->channel.out_from = service->channel.out_size = 0;
  if (!begun || !permit_one_exec(fds[1])) {
    note(name == BROKER ? "the broker did not start" : "the executor did not start");
    return false;
  }
  return watch(service->channel.fd, WATCH_CHANNEL, name, EPOLLIN) &&
         watch(service->process.pidfd, WATCH_SERVICE, name, EPOLLIN);
}

bool relay_start(struct slot *slot, const struct wire_plan *plan, const int *ends) {
  const bool shown = slot->terminal >= 0;
  slot->awaits_recording = (plan->flags & WIRE_PLAN_RECORDED) != 0;
  struct wire_relay order = {.output_max = plan->output_max,
                             .stdio = {slot->subject.stdio[1], slot->subject.stdio[2]},
                             .terminal = shown,
                             .detached = slot->detached,
                             .recorded = slot->awaits_recording,
                             .run = slot->run,
                             .time_ms = slot->subject.time_ms};
  memcpy(order.nonce, slot->subject.nonce, sizeof order.nonce);
  const int fds[6] = {slot->stdio[1], slot->stdio[2], shown ? slot->stdio[slot->terminal] : NULL_DEVICE,
                      ends[0],        ends[2],        shown ? ends[4] : NULL_DEVICE};
  if (!child_start(&slot->relay, slot->awaits_recording ? RECORDER : RELAY, -1, (struct cursor){0})) return false;
  bool told = watch(slot->relay.gate, WATCH_RELAY, slot_tag(slot), EPOLLIN) &&
              send_descriptors(slot->relay.gate, &order, sizeof order, fds, 6);
  if (!told) process_discard(&slot->relay);
  return told;
}

bool services_start(int bridge_listener) {
  int peer = -1;
  bool started = start_one(BROKER, bridge_listener, &peer) && start_one(EXECUTOR, -1, &peer);
  if (peer >= 0) close(peer);
  return started;
}

/* In order: the broker first, so that the executor can still sign its last checkpoint. Otherwise at once. */
void services_stop(bool orderly) {
  for (int i = BROKER; i >= EXECUTOR; i--) {
    struct service *service = &services[i];
    service->ready = false;
    struct pollfd gone = {.fd = service->process.pidfd, .events = POLLIN};
    if (orderly && syscall(SYS_pidfd_send_signal, gone.fd, SIGTERM, NULL, 0) == 0)
      (void)poll(&gone, 1, STOP_DEADLINE_MS);
    if (gone.fd >= 0) unwatch(gone.fd);
    process_discard(&service->process);
    close_fd(&service->channel.fd);
  }
}
