/*
 * run.c: what becomes of a request. A slot goes through the states of `enum slot_state` in their order and no other:
 *
 *   frame        from      states that take it          effect
 *   PREPARE      executor  SUBMITTED                    sandbox is built and waits at the gate -> PREPARED
 *   READ         executor  SUBMITTED                    a part of a sealed input goes to the executor
 *   OPEN         executor  PREPARED                     gate opens, once a proxy is ready -> OPENING, RUNNING or ENDED
 *   REFUSE       broker    SUBMITTED, PREPARED          what was prepared is killed, the client is told -> ENDED
 *   SIGNAL       client    RUNNING; before: gives up    passed to the command; SIGWINCH: to its relay
 *
 * A frame for a run that is over is stale, not hostile: both services work at the same time. Any other frame out of
 * its state ends both services. Why that is safe even if a service lies: only PREPARE and OPEN start anything, and
 * only the executor's channel has them; a REFUSE can only stop a run that has not begun; a READ is of memory that
 * cannot change or make us wait.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "launcher.h"

uint64_t next_run = 1;
const struct process no_process = {.pidfd = -1, .gate = -1, .group = {.fd = -1, .seat = -1}};

static struct slot *find_run(uint64_t run) {
  for (uint32_t i = 0; i < MAX_SLOTS; i++)
    if (slots[i].state >= SLOT_SUBMITTED && slots[i].run == run) return &slots[i];
  return NULL;
}

/* ---- starting ---- */

static void start_failed(struct slot *slot, uint32_t stage) {
  slot->failed = true;
  slot->last = (struct wire_exited){.kind = WIRE_END_FAILED, .value = (uint32_t)errno, .stage = (uint16_t)stage};
}

/* A run whose plan caps its output gets pipes to a relay in place of the client's descriptors, and makes a terminal of
 * its own in place of the client's. `ends`: of stdout's, of stderr's, of the socket to the relay for that terminal. */
static bool take_ends(struct start *start, struct slot *slot, int *ends) {
  if (pipe2(ends, O_CLOEXEC) != 0 || pipe2(ends + 2, O_CLOEXEC) != 0) return false;
  if (slot->terminal >= 0 && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends + 4) != 0) return false;
  start->keys = slot->keys = ends[5];
  for (int i = 1; i < 3; i++)
    if (slot->subject.stdio[i] != WIRE_STDIO_TERMINAL) start->stdio[i] = ends[2 * i - 1];
  return true;
}

/* What filters a run's sockets, built as a run is. It says over its stdout when it can be used (`run_proxied`). */
static bool take_proxy(struct slot *slot, struct cursor body, const struct start *order, const struct wire_plan *plan) {
  int word[2];
  if (pipe2(word, O_CLOEXEC) != 0) return false;
  struct start start = *order;
  const struct template *template = template_for(start.plan, plan);
  if (template != NULL) start.template = template->fd;
  start.stdio[0] = start.stdio[2] = NULL_DEVICE;
  start.stdio[1] = word[1];
  bool started = process_start(&slot->proxy, body, &start, NULL);
  close(word[1]);
  slot->word = word[0];
  slot->awaits_proxy = true;
  return started && watch(word[0], WATCH_PROXY, slot_tag(slot), EPOLLIN) && group_limit(&slot->proxy.group, plan);
}

bool run_prepare(struct cursor *body) {
  struct wire_prepare frame, proxy_frame;
  struct wire_plan plan, proxy_plan;
  struct start start, proxy;
  int ends[6] = {-1, -1, -1, -1, -1, -1};
  const struct cursor whole = *body;
  if (!take_prepare(body, &frame, &start, &plan) || frame.run >= next_run || frame.flags > WIRE_PREPARE_DETACH)
    return false;
  const struct cursor behind = *body;
  bool proxied = (plan.flags & WIRE_PLAN_PROXIED) != 0;
  if (proxied && (!take_prepare(body, &proxy_frame, &proxy, &proxy_plan) || proxy_frame.run != frame.run ||
                  proxy_frame.input_count != 0 || proxy_frame.flags != 0))
    return false;
  bool relayed = plan.output_max != 0;
  if (proxied != (frame.proxy_size > 0) || body->at != body->end) return false;
  if (!relayed && (plan.flags & WIRE_PLAN_RECORDED) != 0) return false;
  struct slot *slot = find_run(frame.run);
  if (slot == NULL || slot->state == SLOT_ENDED) return true; /* refused in the meantime */
  if (slot->state != SLOT_SUBMITTED || frame.input_count != slot->subject.input_count) return false;
  slot->state = SLOT_PREPARED;
  slot->time_limit_ms = plan.time_limit_ms;
  slot->detached = frame.flags != 0;
  slot->features = features_of(&plan);
  const struct template *template = template_for(start.plan, &plan);
  if (template != NULL) start.template = template->fd;
  memcpy(start.stdio, slot->stdio, sizeof start.stdio);
  start.input_count = frame.input_count;
  if ((relayed && !take_ends(&start, slot, ends)) ||
      !process_start(&slot->process, whole, &start, start.binds || start.keys >= 0 ? NULL : template)) {
    start_failed(slot, WIRE_STAGE_CLONE);
  } else {
    if (!group_limit(&slot->process.group, &plan)) start_failed(slot, WIRE_STAGE_CGROUP);
    if (!watch(slot->process.gate, WATCH_GATE, slot_tag(slot), EPOLLIN) ||
        !watch(slot->process.pidfd, WATCH_PROCESS, slot_tag(slot), EPOLLIN)) {
      start_failed(slot, WIRE_STAGE_CLONE);
      process_discard(&slot->process); /* nobody would hear of its end */
    }
    if (relayed && !relay_start(slot, &plan, ends)) start_failed(slot, WIRE_STAGE_STDIO);
    if (proxied && !take_proxy(slot, behind, &proxy, &proxy_plan)) start_failed(slot, WIRE_STAGE_PROXY);
  }
  for (int i = 0; i < 5; i++) close_fd(&ends[i]); /* the sixth is `keys` */
  for (int i = 0; i < STDIO; i++)
    if (!may_wait(slot, i) || is_sealed(slot->stdio[i])) close_fd(&slot->stdio[i]);
  return true;
}

bool run_read(struct cursor *body) {
  static uint8_t bytes[WIRE_MAX_READ];
  struct wire_bytes answer = {.run = take_u64(body)};
  struct stat st;
  answer.input = take_u32(body);
  answer.offset = take_u32(body);
  if (body->bad || body->at != body->end || answer.run >= next_run || answer.input >= STDIO) return false;
  struct slot *slot = find_run(answer.run);
  if (slot == NULL || slot->state == SLOT_ENDED) return true; /* refused in the meantime */
  if (slot->state != SLOT_SUBMITTED || !is_sealed(slot->stdio[answer.input])) return false;
  ssize_t size = pread(slot->stdio[answer.input], bytes, sizeof bytes, answer.offset);
  if (size < 0 || fstat(slot->stdio[answer.input], &st) != 0) return false;
  answer.size = (uint64_t)st.st_size;
  struct part parts[] = {{&answer, sizeof answer}, {bytes, (size_t)size}};
  service_send(EXECUTOR, WIRE_BYTES, parts, 2);
  explicit_bzero(bytes, (size_t)size);
  return true;
}

/* ---- ending ---- */

static void kill_run(struct slot *slot) {
  group_kill(&slot->process.group);
  /* Whoever has left that cgroup as well: the first of its pid namespace takes all along. */
  (void)syscall(SYS_pidfd_send_signal, slot->process.pidfd, SIGKILL, NULL, 0);
}

static void tell_services(const struct wire_exited *end, struct part output) {
  struct part parts[] = {{end, sizeof *end}, output};
  services_send(WIRE_EXITED, parts, 2);
}

/* The end of a run whose gate was opened. The client hears of it first: nobody waits for our cleaning up. */
static void finish(struct slot *slot, uint32_t kind) {
  uint64_t wall_us = slot->opened_us == 0 ? 0 : now_us() - slot->opened_us;
  struct wire_exited *last = &slot->last;
  if (kind == WIRE_END_TIMED_OUT || kind == WIRE_END_LOST || kind == WIRE_END_GONE) last->value = 0;
  last->limits = slot->opened_us == 0 ? 0 : group_hits(&slot->process.group);
  struct wire_ended ended = {kind, last->value, last->stage, last->limits, slot->ticket_size};
  struct part output = {&slot->output, slot->output_size};
  struct part parts[] = {{&ended, sizeof ended}, {slot->ticket, slot->ticket_size}, output};
  answer_client(slot, WIRE_ENDED, parts, 3);
  slot->state = SLOT_ENDED;
  last->run = slot->run;
  last->kind = kind;
  last->features = slot->opened_us == 0 ? 0 : slot->features;
  last->wall_us = wall_us;
  tell_services(last, output);
  (void)syscall(SYS_pidfd_send_signal, slot->proxy.pidfd, SIGKILL, NULL, 0); /* reaped with the run */
  if (kind != WIRE_END_EXITED && kind != WIRE_END_SIGNALLED) kill_run(slot); /* else its first process has ended */
  if (slot->process.pidfd < 0) slot_release(slot);
  spares_refill(); /* now, when nobody waits for us */
}

/* The command is over; its run is when the relay has handed on what is still in the pipes. */
static void command_ended(struct slot *slot, uint32_t kind) {
  slot->end = slot->timed_out ? WIRE_END_TIMED_OUT : kind;
  close_fd(&slot->keys);
  if (slot->relay.gate < 0) finish(slot, slot->end);
  close_fd(&slot->process.gate); /* its first process may go, and with it what else the run has left */
}

/* A slot that never ran lets go of its client; what was prepared is killed and waited for. */
static void abandon(struct slot *slot) {
  drop_client(slot);
  close_fd(&slot->process.gate);
  slot->state = SLOT_ENDED;
  kill_run(slot);
  if (slot->process.pidfd < 0) slot_release(slot);
}

bool run_refuse(struct cursor *body) {
  static char problem[MAX_REFUSAL + 1];
  uint64_t run = take_u64(body);
  uint32_t status = take_u32(body);
  take_text(body, (size_t)(body->end - body->at), problem, sizeof problem);
  if (body->bad || run >= next_run) return false;
  struct slot *slot = find_run(run);
  if (slot == NULL || slot->state == SLOT_ENDED) return true;
  if (slot->state >= SLOT_OPENING) return false;
  refuse_client(slot, status, problem);
  abandon(slot);
  return true;
}

static void open_gate(struct slot *slot) {
  if (slot->client_gone || slot->failed) {
    finish(slot, slot->failed ? WIRE_END_FAILED : WIRE_END_GONE);
    return;
  }
  slot->state = SLOT_RUNNING;
  slot->opened_us = now_us();
  slot->deadline_ms = slot->time_limit_ms == 0 ? 0 : now_ms() + slot->time_limit_ms;
  (void)!send(slot->process.gate, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* EPIPE: it is dead, and its pidfd says so */
}

static void open_when_ready(struct slot *slot) {
  if (slot->state == SLOT_OPENING && (slot->failed || (!slot->awaits_proxy && !slot->awaits_recording)))
    open_gate(slot);
}

/* The proxy's word that it can be used, or its end: then the run is lost, or fails before it began. */
void run_proxied(struct slot *slot) {
  char byte;
  bool usable = read(slot->word, &byte, 1) == 1;
  slot->awaits_proxy = false;
  if (!usable) {
    close_fd(&slot->word);
    errno = EPIPE;
    if (slot->state < SLOT_RUNNING && !slot->failed) start_failed(slot, WIRE_STAGE_PROXY);
    if (slot->state == SLOT_RUNNING && slot->end == 0) finish(slot, WIRE_END_LOST);
  }
  open_when_ready(slot);
}

bool run_open(struct cursor *body) {
  uint64_t run = take_u64(body);
  size_t size = (size_t)(body->end - body->at);
  const uint8_t *ticket = take(body, size);
  if (body->bad || size > MAX_TICKET || run >= next_run) return false;
  struct slot *slot = find_run(run);
  if (slot == NULL || slot->state == SLOT_ENDED) {
    const struct wire_exited none = {.run = run, .kind = WIRE_END_GONE};
    tell_services(&none, (struct part){0});
    return true;
  }
  if (slot->state != SLOT_PREPARED) return false;
  memcpy(slot->ticket, ticket, size);
  slot->ticket_size = (uint16_t)size;
  slot->state = SLOT_OPENING;
  slot->deadline_ms = now_ms() + PROXY_DEADLINE_MS;
  if (slot->awaits_recording && !slot->failed)
    (void)!send(slot->relay.gate, "O", 1, MSG_NOSIGNAL | MSG_DONTWAIT);                       /* `run_relayed` */
  if (slot->awaits_proxy) (void)!send(slot->proxy.gate, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT); /* `run_proxied` */
  open_when_ready(slot);
  return true;
}

void run_signal(struct slot *slot, uint32_t signal) {
  if (signal == SIGWINCH && slot->relay.gate >= 0) {
    int unread = 0; /* one is enough, and many would leave no room for what else it has to hear */
    if (ioctl(slot->relay.gate, SIOCOUTQ, &unread) != 0 || unread != 0) return;
    (void)!send(slot->relay.gate, "W", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  } else if (slot->state == SLOT_RUNNING) {
    if (signal != SIGHUP || !slot->detached) /* of a client that goes */
      (void)syscall(SYS_pidfd_send_signal, slot->process.pidfd, (int)signal, NULL, 0);
  } else if (signal == SIGINT || signal == SIGTERM || signal == SIGHUP || signal == SIGQUIT) {
    run_client_gone(slot);
  }
}

void run_client_gone(struct slot *slot) {
  drop_client(slot);
  if (slot->state == SLOT_READING) {
    slot_release(slot);
  } else if (slot->state == SLOT_RUNNING && slot->detached) {
    slot->features |= WIRE_FEATURE_DETACHED;
    (void)!send(slot->relay.gate, "D", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  } else if (slot->state == SLOT_RUNNING && !slot->client_gone) {
    (void)syscall(SYS_pidfd_send_signal, slot->process.pidfd, SIGHUP, NULL, 0);
    uint64_t end_ms = now_ms() + HANGUP_GRACE_MS;
    if (slot->deadline_ms == 0 || end_ms < slot->deadline_ms) slot->deadline_ms = end_ms;
  }
  slot->client_gone = true;
}

/* Once politely; a relay that has not ended by then is stopped, or worse. */
static void hurry_relay(struct slot *slot) {
  if (slot->hurried) (void)syscall(SYS_pidfd_send_signal, slot->relay.pidfd, SIGKILL, NULL, 0);
  slot->hurried = true;
  (void)!send(slot->relay.gate, "E", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
  slot->deadline_ms = now_ms() + HANGUP_GRACE_MS;
}

void run_expired(struct slot *slot) {
  slot->deadline_ms = 0;
  if (slot->state == SLOT_READING) {
    slot_release(slot);
  } else if (slot->state == SLOT_RUNNING) {
    if (slot->end == 0) slot->timed_out = !slot->client_gone || slot->detached;
    kill_run(slot);
    if (slot->relay.gate >= 0) hurry_relay(slot);
  } else if (slot->state == SLOT_OPENING) {
    errno = ETIMEDOUT;
    start_failed(slot, slot->awaits_recording ? WIRE_STAGE_RECORDING : WIRE_STAGE_PROXY);
    open_gate(slot);
  } else if (slot->state == SLOT_ENDED) {
    slot_await(slot);
  } else {
    services_failed("a request was not answered in time");
  }
}

/* Of its terminal; the first time with what it is typed at by. */
static void tell_client(struct slot *slot, uint32_t stopped) {
  const uint32_t frame[] = {sizeof stopped, WIRE_TERMINAL, stopped};
  if (slot->client >= 0) (void)send_descriptors(slot->client, frame, sizeof frame, &slot->keys, slot->keys >= 0);
  close_fd(&slot->keys);
}

void run_reported(struct slot *slot) {
  struct wire_exited report;
  ssize_t n = recv(slot->process.gate, &report, sizeof report, MSG_DONTWAIT);
  /* Our G was not read: the kernel says so before it hands out what the child had sent. */
  if (n < 0 && errno == ECONNRESET) n = recv(slot->process.gate, &report, sizeof report, MSG_DONTWAIT);
  if (n != (ssize_t)sizeof report) { /* end of file: the pidfd tells the rest */
    close_fd(&slot->process.gate);
    return;
  }
  if (report.kind == WIRE_END_STOPPED && slot->state == SLOT_RUNNING) tell_client(slot, report.value);
  if (report.kind == WIRE_END_STOPPED) return;
  slot->last = report;
  if (report.kind == WIRE_END_FAILED && slot->state < SLOT_RUNNING) {
    slot->failed = true; /* told when the gate would have opened, so that it has an entry and a receipt */
  } else if (slot->state == SLOT_RUNNING) {
    command_ended(slot, report.kind);
  }
}

/* That it records; later its word, or its end without one: then nobody knows what the client got, and the run is lost.
 * So is one whose recording cannot be kept on. A signal that it did not read does not take its word away, as above. */
void run_relayed(struct slot *slot) {
  ssize_t n = recv(slot->relay.gate, &slot->output, sizeof slot->output, MSG_DONTWAIT);
  if (n < 0 && errno == ECONNRESET) n = recv(slot->relay.gate, &slot->output, sizeof slot->output, MSG_DONTWAIT);
  const bool whole = n == (ssize_t)sizeof slot->output;
  const bool failed = whole && slot->output.recording.state == WIRE_RECORDING_FAILED;
  if (n == 1 && slot->awaits_recording) {
    slot->awaits_recording = false;
    open_when_ready(slot);
    return;
  }
  slot->output_size = whole ? sizeof slot->output : 0;
  if (slot->state == SLOT_RUNNING && (!whole || failed || slot->end != 0)) {
    if (failed) slot->last.stage = WIRE_STAGE_RECORDING;
    finish(slot, whole && !failed && slot->end != 0 ? slot->end : WIRE_END_LOST);
  } else if (slot->state < SLOT_RUNNING && !slot->failed) {
    errno = failed ? (int)slot->output.recording.error : EPIPE;
    start_failed(slot, failed ? WIRE_STAGE_RECORDING : WIRE_STAGE_STDIO);
    open_when_ready(slot);
  }
  close_fd(&slot->relay.gate);
}

void run_exited(struct slot *slot) {
  siginfo_t info;
  if (slot->process.gate >= 0) run_reported(slot); /* what it sent last may still be there */
  if (slot->state == SLOT_RUNNING && slot->end == 0) {
    slot->last.value = SIGKILL;
    command_ended(slot, WIRE_END_SIGNALLED);
  } else if (slot->state < SLOT_RUNNING && !slot->failed) {
    errno = ECHILD;
    start_failed(slot, WIRE_STAGE_CLONE);
  }
  waitid(P_PIDFD, (id_t)slot->process.pidfd, &info, WEXITED);
  unwatch(slot->process.pidfd);
  close_fd(&slot->process.pidfd);
  if (slot->state == SLOT_ENDED) slot_release(slot);
}

void run_lose_all(void) {
  for (uint32_t i = 0; i < MAX_SLOTS; i++) {
    struct slot *slot = &slots[i];
    if (slot->state == SLOT_RUNNING || slot->state == SLOT_OPENING) {
      kill_run(slot);
      finish(slot, WIRE_END_LOST);
    } else if (slot->state == SLOT_SUBMITTED || slot->state == SLOT_PREPARED) {
      refuse_client(slot, 125, problem_unavailable);
      abandon(slot);
    }
  }
}
