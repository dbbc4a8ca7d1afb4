/*
 * session.c: the launcher's half through whole conversations. Clients and both services send bytes in any order and any
 * pieces, clients hang up, deadlines pass, processes end. The claims are the launcher's MUSTs:
 *
 *   L2  both services get the same SUBMIT, and in it the bytes that a client sent
 *   L3  a gate opens only for a run whose PREPARE and OPEN both came from the executor
 *   L6  no run is submitted without three descriptors
 *   L9  no descriptor is left when all is over
 *
 * Input: messages of u8 operation, u8 argument, u16 size and that many bytes.
 */
#define main launcher_main
#include "../launcher/main.c"
#undef main

#include "kernel.h"
#include "messages.h"

/* Edges are those of the launcher. What checks it is not counted, and quick. */
#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

#define MAX_PEERS 1024
#define MAX_PASSED 6u
#define MAX_SENT (WIRE_MAX_FRAME * 2u)

struct stream {
  int fd; /* the service's end of its channel */
  size_t sent, heard;
  uint8_t out[MAX_SENT], in[MAX_SENT];
};

static struct stream streams[2];
/* By the launcher's descriptor: the client's end, and what it sent; the child's end of a gate. */
static int clients[MAX_PEERS], gates[MAX_PEERS];
static uint8_t sent_by_client[MAX_PEERS][WIRE_MAX_REQUEST + 8];
static size_t sent_size[MAX_PEERS];
static uint64_t run_of_gate[MAX_PEERS];
static int peer_count;    /* above all that is in use */
static int master, slave; /* a terminal that clients may have */

/* ---- what the launcher said ---- */

static bool has_frame(const struct stream *stream, uint16_t kind, uint64_t run) {
  struct wire_head head;
  uint64_t found;
  for (size_t at = 0; stream->sent - at >= sizeof head; at += sizeof head + head.size) {
    memcpy(&head, stream->out + at, sizeof head);
    if (head.size > stream->sent - at - sizeof head) return false;
    if (head.kind != kind || head.size < sizeof found) continue;
    memcpy(&found, stream->out + at + sizeof head, sizeof found);
    if (found == run) return true;
  }
  return false;
}

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

/* BYTES is for the executor alone: takes such frames out of what it heard. */
static void take_out_bytes(struct stream *stream) {
  struct wire_head head;
  size_t left = 0;
  for (size_t at = 0; stream->heard - at >= sizeof head; at += sizeof head + head.size) {
    memcpy(&head, stream->in + at, sizeof head);
    CLAIM(head.size <= stream->heard - at - sizeof head);
    if (head.kind == WIRE_BYTES) continue;
    memmove(stream->in + left, stream->in + at, sizeof head + head.size);
    left += sizeof head + head.size;
  }
  stream->heard = left;
}

/* Frames are whole, of the kinds that there are, and the same for both. */
static void check_streams(void) {
  struct wire_head head;
  for (int i = 0; i < 2; i++) {
    ssize_t n = (recv)(streams[i].fd, streams[i].in, MAX_SENT, MSG_DONTWAIT);
    streams[i].heard = n < 0 ? 0 : (size_t)n;
  }
  take_out_bytes(&streams[EXECUTOR]);
  CLAIM(streams[0].heard == streams[1].heard && memcmp(streams[0].in, streams[1].in, streams[0].heard) == 0);
  for (size_t at = 0; at < streams[0].heard; at += sizeof head + head.size) {
    CLAIM(streams[0].heard - at >= sizeof head);
    memcpy(&head, streams[0].in + at, sizeof head);
    CLAIM(head.zero == 0 && head.size <= streams[0].heard - at - sizeof head);
    CLAIM(head.kind == WIRE_SUBMIT || head.kind == WIRE_EXITED);
    if (head.kind == WIRE_SUBMIT) check_submit(streams[0].in + at + sizeof head, head.size);
  }
}

static void check_gates(void) {
  static uint8_t bytes[2 * WIRE_MAX_FRAME];
  for (int i = 0; i < peer_count; i++) {
    ssize_t n;
    while (gates[i] >= 0 && (n = (recv)(gates[i], bytes, sizeof bytes, MSG_DONTWAIT)) > 0) {
      if (n > 1) {
        memcpy(&run_of_gate[i], bytes, sizeof run_of_gate[i]);
        CLAIM(run_of_gate[i] != 0 && has_frame(&streams[EXECUTOR], WIRE_PREPARE, run_of_gate[i]));
      } else {
        CLAIM(bytes[0] == 'G' && run_of_gate[i] != 0 && has_frame(&streams[EXECUTOR], WIRE_OPEN, run_of_gate[i]));
      }
    }
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
    if (slot->state == SLOT_RUNNING) CLAIM(slot->process.pidfd >= 0 && slot->opened_us != 0);
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

static void let_go(int *peers, int fd, int peer) {
  CLAIM(fd >= 0 && fd < MAX_PEERS);
  if (peers[fd] >= 0) (close)(peers[fd]);
  peers[fd] = peer;
  if (fd >= peer_count) peer_count = fd + 1;
}

/* As send_descriptors, but more of them than the launcher has room for. */
static bool pass(int fd, const struct message *message, size_t count, int passed) {
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
    for (size_t i = 0; i < count; i++) memcpy(CMSG_DATA(&control.align) + i * sizeof passed, &passed, sizeof passed);
  }
  return (sendmsg)(fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)message->size;
}

static void say(int server, const struct message *message, size_t count, int passed) {
  size_t *sent = &sent_size[server];
  if (message->size == 0 || clients[server] < 0 || !pass(clients[server], message, count, passed)) return;
  for (size_t i = 0; i < message->size && *sent < sizeof sent_by_client[0]; i++)
    sent_by_client[server][(*sent)++] = message->bytes[i];
}

static void connect_client(const struct message *message) {
  int pair[2];
  if ((socketpair)(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) return;
  let_go(clients, pair[0], pair[1]);
  sent_size[pair[0]] = 0;
  say(pair[0], message, message->argument % (MAX_PASSED + 1), (message->argument & 0x40) != 0 ? slave : 0);
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
  struct stream *stream = &streams[name];
  if (services[name].channel.fd < 0 || stream->sent + message->size > MAX_SENT) return;
  if ((send)(stream->fd, message->bytes, message->size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)message->size) return;
  memcpy(stream->out + stream->sent, message->bytes, message->size);
  stream->sent += message->size;
  if (message->size > 0 && !channel_receive(&services[name].channel, name == EXECUTOR ? from_executor : from_broker))
    failed = true;
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
  if (slot == NULL) return;
  if (message->operation == CLIENT_SAYS && slot->client >= 0) {
    say(slot->client, message, (message->argument >> 5) % (MAX_PASSED + 1), 0);
    door_read(slot);
  }
  if (message->operation == CLIENT_GONE && slot->client >= 0) run_client_gone(slot);
  if (message->operation == DEADLINE && slot->deadline_ms != 0) run_expired(slot);
  if (message->operation == REPORT && slot->process.gate >= 0) {
    int child = gates[slot->process.gate];
    if (child >= 0 && message->size > 0)
      (void)!(send)(child, message->bytes, message->size, MSG_NOSIGNAL | MSG_DONTWAIT);
    run_reported(slot);
  }
  if (message->operation == EXIT && slot->process.pidfd >= 0) run_exited(slot);
  if (message->operation == PROXY && slot->word >= 0) hear_proxy(slot, message->argument);
}

/* A gate is known by what the launcher holds: looked up after each act, since one act starts at most one run. */
static void adopt_gates(void) {
  for (size_t i = 0; i < MAX_SLOTS; i++) {
    int gate = slots[i].process.gate;
    if (slots[i].state == SLOT_FREE || gate < 0 || kernel.peer_of_gate < 0) continue;
    if (gates[gate] >= 0 && run_of_gate[gate] == slots[i].run) continue;
    let_go(gates, gate, kernel.peer_of_gate);
    run_of_gate[gate] = 0;
    kernel.peer_of_gate = -1;
  }
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
}

static void finish_all(void) {
  run_lose_all();
  for (size_t i = 0; i < MAX_SLOTS; i++) {
    if (slots[i].state != SLOT_FREE && slots[i].process.pidfd >= 0) run_exited(&slots[i]);
    if (slots[i].state != SLOT_FREE) slot_release(&slots[i]);
    slots[i].run = 0;
  }
  spares_release();
  for (int i = 0; i < peer_count; i++) {
    if (clients[i] >= 0) check_client(clients[i]);
    let_go(clients, i, -1);
    let_go(gates, i, -1);
  }
  if (kernel.peer_of_gate >= 0) (close)(kernel.peer_of_gate);
  kernel.peer_of_gate = -1;
  peer_count = 0;
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
  if (slave < 0) return 1; /* clients pass this, or /dev/null */
  for (size_t i = 0; i < MAX_SLOTS; i++) slots[i].process = slots[i].relay = slots[i].proxy = no_process;
  for (size_t i = 0; i < MAX_SLOTS; i++) slots[i].word = slots[i].keys = -1;
  max_per_uid = 32;
  for (int i = 0; i < MAX_PEERS; i++) clients[i] = gates[i] = -1;
  kernel.accepted = kernel.peer_of_gate = -1;
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
    adopt_gates();
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
