/*
 * session.c: the launcher's half through whole conversations. Clients and both services send bytes in any order and any
 * pieces, clients hang up, deadlines pass, processes end. The claims are the launcher's MUSTs:
 *
 *   L2  both services get the same SUBMIT, and in it the bytes that a client sent
 *   L3  a gate opens only for a run whose PREPARE and OPEN both came from the executor
 *   L6  no run is submitted without three descriptors
 *   L5  a run's process was made for the capabilities that the executor said last before its PREPARE
 *   L9  no descriptor is left when all is over
 *
 * Input: messages of u8 operation, u8 argument, u16 size and that many bytes.
 */
#define main launcher_main
#include "../launcher/main.c"
#undef main

#include <sys/mman.h>

#include "kernel.h"
#include "messages.h"

/* Edges are those of the launcher. What checks it is not counted, and quick. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

/* By the launcher's descriptor: the client's end, and what it sent. */
static int clients[MAX_PEERS];
static uint8_t sent_by_client[MAX_PEERS][WIRE_MAX_REQUEST + 8];
static size_t sent_size[MAX_PEERS];
static int client_count;          /* above all that is in use */
static int master, slave, sealed; /* a terminal and an input that clients may have */
#define MAX_PASSED 6u

#include "streams.h"

/* ---- what the launcher said ---- */

static void check_submit(const uint8_t *body, size_t size) {
  struct wire_submit submit;
  CLAIM(size >= sizeof submit);
  memcpy(&submit, body, sizeof submit);
  size_t facts = submit.group_count * sizeof(uint32_t) + submit.cgroups_size;
  CLAIM(submit.uid == geteuid() && size >= sizeof submit + facts && submit.stdio[3] == 0);
  const uint8_t *request = body + sizeof submit + facts;
  size_t request_size = size - sizeof submit - facts;
  bool found = false;
  for (size_t i = 0; i < MAX_SLOTS; i++) {
    const struct slot *slot = &slots[i];
    if (slot->run != submit.run || slot->request_size < sizeof(struct wire_head) + request_size) continue;
    found = memcmp(slot->request + sizeof(struct wire_head), request, request_size) == 0;
    if (slot->client >= 0)
      CLAIM(memcmp(sent_by_client[slot->client] + sizeof(struct wire_head), request, request_size) == 0);
  }
  CLAIM(found);
}

/* Frames are whole, of the kinds that there are, and the same for both. */
static void check_streams(void) {
  struct wire_head head;
  hear_streams();
  for (size_t at = 0; at < streams[0].heard; at += sizeof head + head.size) {
    const uint8_t *body = streams[0].in + at + sizeof head;
    CLAIM(streams[0].heard - at >= sizeof head);
    memcpy(&head, streams[0].in + at, sizeof head);
    CLAIM(head.zero == 0 && head.size <= streams[0].heard - at - sizeof head);
    CLAIM(head.kind == WIRE_SUBMIT || head.kind == WIRE_EXITED || head.kind == WIRE_RELOAD);
    if (head.kind == WIRE_SUBMIT) check_submit(body, head.size);
    if (head.kind == WIRE_EXITED) check_exited(body, head.size);
    if (head.kind == WIRE_RELOAD) CLAIM(head.size == 0 && reloads_due-- > 0);
  }
  CLAIM(reloads_due == 0);
}

/* What a process of a run is told: a root to build ahead, then PREPARE, then G. */
static void hear_run(int gate, const uint8_t *bytes, size_t size) {
  struct wire_prepare prepare;
  uint64_t *run = &kernel.gates[gate].run;
  if (size == 1) {
    CLAIM(bytes[0] == 'G' && *run != 0 && has_frame(&streams[EXECUTOR], WIRE_OPEN, *run));
    return;
  }
  CLAIM(size >= sizeof prepare && *run == 0);
  memcpy(&prepare, bytes, sizeof prepare);
  *run = prepare.run;
  CLAIM(*run == 0 ? prepare.command_size == 0 : has_frame(&streams[EXECUTOR], WIRE_PREPARE, *run));
  if (*run != 0) CLAIM(kernel.gates[gate].kept == kept_before(&streams[EXECUTOR], *run));
}

/* A relay: its order, then what it is told later. */
static void hear_relay(int gate, const uint8_t *bytes, size_t size) {
  struct wire_relay order;
  uint64_t *told = &kernel.gates[gate].run;
  CLAIM((*told)++ == 0 ? size == sizeof order : size == 1 && memchr("WEDO", bytes[0], 4) != NULL);
  if (size == sizeof order) memcpy(&order, bytes, sizeof order);
  if (size == sizeof order) CLAIM(order.output_max != 0 && order.terminal < 2);
}

static void check_gates(void) {
  static uint8_t bytes[2 * WIRE_MAX_FRAME];
  for (int i = 0; i < kernel.gate_count; i++) {
    const struct gate *gate = &kernel.gates[i];
    ssize_t n;
    if (gate->what != A_RUN && gate->what != RELAY && gate->what != RECORDER) continue;
    while (gate->peer >= 0 && (n = (recv)(gate->peer, bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
      (gate->what == A_RUN ? hear_run : hear_relay)(i, bytes, (size_t)n);
  }
}

static void check_slots(void) {
  for (size_t i = 0; i < MAX_SLOTS; i++) {
    const struct slot *slot = &slots[i];
    if (slot->state == SLOT_FREE || slot->state == SLOT_READING) continue;
    CLAIM(slot->run != 0 && slot->run < next_run && slot->ticket_size <= MAX_TICKET);
    CLAIM(slot->request_size <= WIRE_MAX_REQUEST && slot->subject.group_count <= WIRE_MAX_GROUPS);
    if (slot->state == SLOT_SUBMITTED) CLAIM(slot->process.pidfd < 0 && slot->stdio[0] >= 0 && slot->stdio[2] >= 0);
    if (slot->state == SLOT_PREPARED || slot->state == SLOT_OPENING) CLAIM(slot->process.pidfd >= 0 || slot->failed);
    if (slot->state != SLOT_RUNNING) continue;
    CLAIM(slot->opened_us != 0 && (slot->process.pidfd >= 0 || (slot->relay.gate >= 0 && slot->end != 0)));
  }
}

/* What a client hears: some TERMINAL, then at most one whole frame of the two kinds of an answer. */
static void check_client(int fd) {
  static uint8_t bytes[1u << 18]; /* a socket holds less */
  const size_t notice = sizeof(struct wire_head) + sizeof(uint32_t);
  struct wire_head head = {.kind = WIRE_TERMINAL};
  size_t size = 0, at = 0;
  for (ssize_t n; (n = (recv)(fd, bytes + size, sizeof bytes - size, MSG_DONTWAIT)) > 0;) size += (size_t)n;
  for (; size - at >= notice; at += notice) {
    memcpy(&head, bytes + at, sizeof head);
    if (head.kind != WIRE_TERMINAL) break;
    CLAIM(head.size == sizeof(uint32_t) && head.zero == 0);
  }
  if (at == size) return;
  CLAIM(size - at >= sizeof head);
  memcpy(&head, bytes + at, sizeof head);
  CLAIM(size - at == sizeof head + head.size && head.zero == 0);
  CLAIM(head.kind == WIRE_REFUSED ? head.size >= 4 : head.kind == WIRE_ENDED && head.size >= sizeof(struct wire_ended));
  if (head.kind == WIRE_ENDED) CLAIM(head.size <= sizeof(struct wire_ended) + MAX_TICKET + sizeof(struct wire_output));
}

/* ---- what is done to it ---- */

static void let_go(int fd, int peer) {
  CLAIM(fd >= 0 && fd < MAX_PEERS);
  if (clients[fd] >= 0) (close)(clients[fd]);
  clients[fd] = peer;
  if (fd >= client_count) client_count = fd + 1;
}

/* As send_descriptors, but more of them than the launcher has room for. */
static bool pass(int fd, const struct message *message, size_t count, uint8_t kinds) {
  union {
    struct cmsghdr align;
    char space[CMSG_SPACE(sizeof(int) * MAX_PASSED)];
  } control = {0};
  struct iovec data = {.iov_base = (void *)(uintptr_t)message->bytes, .iov_len = message->size};
  struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
  if (count > 0) {
    header.msg_control = &control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    control.align.cmsg_len = CMSG_LEN(sizeof(int) * count);
    for (size_t i = 0; i < count; i++) {
      int passed = (kinds & 0x20) != 0 && (i == 0 || i > 2) ? sealed : (kinds & 0x40) != 0 ? slave : 0;
      memcpy(CMSG_DATA(&control.align) + i * sizeof passed, &passed, sizeof passed);
    }
  }
  return (sendmsg)(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)message->size;
}

static void say(int server, const struct message *message, size_t count, uint8_t kinds) {
  size_t *sent = &sent_size[server];
  if (message->size == 0 || clients[server] < 0 || !pass(clients[server], message, count, kinds)) return;
  for (size_t i = 0; i < message->size && *sent < sizeof sent_by_client[0]; i++)
    sent_by_client[server][(*sent)++] = message->bytes[i];
}

static void connect_client(const struct message *message) {
  int pair[2];
  if ((socketpair)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return;
  let_go(pair[0], pair[1]);
  sent_size[pair[0]] = 0;
  say(pair[0], message, message->argument % (MAX_PASSED + 1), message->argument);
  kernel.accepted = pair[0];
  door_accept((message->argument & 0x80) == 0);
}

static struct slot *slot_of(uint8_t argument) {
  size_t used = 0;
  for (size_t i = 0; i < MAX_SLOTS; i++)
    if (slots[i].state != SLOT_FREE) used++;
  if (used == 0) return NULL;
  size_t wanted = argument % used;
  for (size_t i = 0; i < MAX_SLOTS; i++)
    if (slots[i].state != SLOT_FREE && wanted-- == 0) return &slots[i];
  return NULL;
}

static void hear_service(int name, const struct message *message) {
  kernel.no_relay = (message->argument & 1) != 0;
  struct stream *stream = &streams[name];
  if (services[name].channel.fd < 0 || stream->sent + message->size > MAX_SENT) return;
  if ((send)(stream->fd, message->bytes, message->size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)message->size) return;
  memcpy(stream->out + stream->sent, message->bytes, message->size);
  stream->sent += message->size;
  if (message->size > 0 && !channel_receive(&services[name].channel, name == EXECUTOR ? from_executor : from_broker))
    failed = true;
}

/* The relay's word; nothing: its end. */
static void hear_from_relay(struct slot *slot, const struct message *message) {
  struct word *word = &words[slot - slots];
  int *peer = &kernel.gates[slot->relay.gate].peer;
  if (*peer >= 0 && message->size > 0) (void)!(send)(*peer, message->bytes, message->size, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (*peer >= 0 && message->size == 0) (close)(*peer), *peer = -1;
  word->run = slot->run;
  word->size = message->size < sizeof word->output ? 0 : sizeof word->output; /* recv(2) cuts what is longer */
  if (word->size > 0) memcpy(&word->output, message->bytes, word->size);
  run_relayed(slot);
}

/* SIGHUP: an even argument: by kill(2); else of a terminal that hangs up, which ends us. Then as the loop does. */
static void hear_signal(uint8_t argument) {
  const struct signalfd_siginfo info = {.ssi_signo = SIGHUP, .ssi_code = (argument & 1) == 0 ? SI_USER : SI_KERNEL};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return;
  CLAIM((write)(ends[1], &info, sizeof info) == (ssize_t)sizeof info);
  signal_event(ends[0]);
  (close)(ends[0]);
  (close)(ends[1]);
  if (reload_due && services_ready()) services_send(WIRE_RELOAD, NULL, 0);
  CLAIM(stopping == ((argument & 1) != 0));
  reload_due = stopping = false;
  if (services_ready()) reloads_due += (argument & 1) == 0;
}

/* They are others, and say READY first; an odd argument: only the executor has not yet. */
static void restart(uint8_t argument) {
  run_lose_all();
  services[EXECUTOR].ready = false;
  services[BROKER].ready = (argument & 1) != 0;
}

/* Its end of the pipe is closed already; so a word of it comes by another pipe in the place of that one. */
static void hear_proxy(struct slot *slot, uint8_t argument) {
  int pair[2];
  if ((argument & 1) != 0 && pipe(pair) == 0) {
    CLAIM((write)(pair[1], "x", 1) == 1 && (dup2)(pair[0], slot->word) == slot->word);
    (close)(pair[0]);
    (close)(pair[1]);
  }
  run_proxied(slot);
}

static void act(const struct message *message) {
  struct slot *slot = slot_of(message->argument);
  if (message->operation == CONNECT) connect_client(message);
  if (message->operation == EXECUTOR_SAYS) hear_service(EXECUTOR, message);
  if (message->operation == BROKER_SAYS) hear_service(BROKER, message);
  if (message->operation == SIGNAL) hear_signal(message->argument);
  if (message->operation == RESTART) restart(message->argument);
  if (slot == NULL) return;
  if (message->operation == CLIENT_SAYS && slot->client >= 0) {
    say(slot->client, message, (message->argument >> 5) % (MAX_PASSED + 1), 0);
    door_read(slot);
  }
  if (message->operation == CLIENT_GONE && slot->client >= 0) run_client_gone(slot);
  if (message->operation == DEADLINE && slot->deadline_ms != 0) run_expired(slot);
  if (message->operation == REPORT && slot->process.gate >= 0) {
    int child = kernel.gates[slot->process.gate].peer;
    if (child >= 0 && message->size > 0)
      (void)!(send)(child, message->bytes, message->size, MSG_NOSIGNAL | MSG_DONTWAIT);
    run_reported(slot);
  }
  if (message->operation == EXIT && slot->process.pidfd >= 0) run_exited(slot);
  if (message->operation == PROXY && slot->word >= 0) hear_proxy(slot, message->argument);
  if (message->operation == RELAY_SAYS && slot->relay.gate >= 0) hear_from_relay(slot, message);
}

static void begin(void) {
  for (int i = 0; i < 2; i++) {
    int pair[2];
    if ((socketpair)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) abort();
    struct channel *channel = &services[i].channel;
    channel->fd = pair[0];
    channel->in_size = channel->out_from = channel->out_size = 0;
    services[i].ready = true;
    streams[i].fd = pair[1];
    streams[i].sent = 0;
  }
  if (!nursery_open()) abort();
  next_run = 1;
  failed = false;
  kernel.failing = 0;
  host.kept = 0;
  reload_due = stopping = false;
  reloads_due = 0;
}

static void finish_all(void) {
  run_lose_all();
  for (size_t i = 0; i < MAX_SLOTS; i++) {
    if (slots[i].state != SLOT_FREE && slots[i].process.pidfd >= 0) run_exited(&slots[i]);
    if (slots[i].state != SLOT_FREE) slot_release(&slots[i]);
    slots[i].run = 0;
  }
  spares_release();
  for (int i = 0; i < client_count; i++) {
    if (clients[i] >= 0) check_client(clients[i]);
    let_go(i, -1);
  }
  client_count = 0;
  kernel_forget_gates();
  for (int i = 0; i < 2; i++) {
    (close)(services[i].channel.fd);
    (close)(streams[i].fd);
  }
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  int null = (open)("/dev/null", O_RDWR | O_CLOEXEC);
  master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (null < 0 || (dup2)(null, 0) != 0 || master < 0 || unlockpt(master) != 0) return 1;
  slave = (open)(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  sealed = make_sealed();
  if (slave < 0 || sealed < 0) return 1; /* clients pass these, or /dev/null */
  for (size_t i = 0; i < MAX_SLOTS; i++) slots[i].process = slots[i].relay = slots[i].proxy = no_process;
  for (size_t i = 0; i < MAX_SLOTS; i++) slots[i].word = slots[i].keys = -1;
  max_per_uid = 32;
  for (int i = 0; i < MAX_PEERS; i++) clients[i] = kernel.gates[i].peer = -1;
  kernel.accepted = -1;
  host.privileged = true;
  host.features = ~0u & ~WIRE_FEATURE_CGROUP_LIMITS;
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct message message;
  int first_free = dup(0);
  (close)(first_free);
  begin();
  while (!failed && next_message(&data, &size, &message)) {
    act(&message);
    check_streams();
    check_gates();
    check_slots();
  }
  finish_all();
  int now = dup(0);
  (close)(now);
  CLAIM(now == first_free);
  return 0;
}

#pragma clang attribute pop
