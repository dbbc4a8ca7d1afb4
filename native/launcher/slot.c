/*
 * slot.c: what a slot holds, how it answers, and how it lets go of it. Not trusted: what a client passed. To close such
 * a descriptor can take as long as the client likes, by a FUSE file system of its own or SO_LINGER; so it is never done
 * where others wait.
 */
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "launcher.h"

struct slot slots[MAX_SLOTS];

uint32_t slot_tag(const struct slot *slot) { return slot->generation << 8 | (uint32_t)(slot - slots); }

struct slot *slot_tagged(uint32_t tag) {
  struct slot *slot = &slots[tag & 0xff];
  return slot->state != SLOT_FREE && slot_tag(slot) == tag ? slot : NULL;
}

void slot_begin(struct slot *slot, int client) {
  const uint32_t generation = slot->generation;
  memset(slot, 0, offsetof(struct slot, request));
  slot->generation = generation;
  slot->client = client;
  for (int i = 0; i < STDIO; i++) slot->stdio[i] = -1;
  slot->process = slot->relay = slot->proxy = no_process;
  slot->word = slot->terminal = slot->keys = -1;
}

/* Whether to close this one of a client's descriptors can take long. */
bool may_wait(const struct slot *slot, int i) {
  const uint8_t kind = i < 3 ? slot->subject.stdio[i] : (uint8_t)WIRE_STDIO_SEALED;
  return kind != WIRE_STDIO_PIPE && kind != WIRE_STDIO_NULL && kind != WIRE_STDIO_TERMINAL;
}

/* What it sent and nobody read goes too, descriptors in it as well. The last close of one can wait (SO_LINGER): not for
 * longer than until the next signal. */
void drop_client(struct slot *slot) {
  const struct itimerval soon = {{0, 1000}, {0, 1000}}, never = {0};
  int unread = 0;
  if (slot->client < 0) return;
  (void)shutdown(slot->client, SHUT_RDWR); /* no more comes */
  bool waits = ioctl(slot->client, FIONREAD, &unread) != 0 || unread != 0;
  if (waits) (void)setitimer(ITIMER_REAL, &soon, NULL);
  close_fd(&slot->client);
  if (waits) (void)setitimer(ITIMER_REAL, &never, NULL);
}

/* The one answer of a connection. */
void answer_client(struct slot *slot, uint16_t kind, const struct part *parts, size_t count) {
  struct wire_head head = {.kind = kind};
  struct iovec frame[4] = {{&head, sizeof head}};
  const struct msghdr message = {.msg_iov = frame, .msg_iovlen = 4}; /* those that are left are empty */
  for (size_t i = 0; i < count; i++) {
    frame[i + 1] = (struct iovec){(void *)(uintptr_t)parts[i].bytes, parts[i].size};
    head.size += (uint32_t)parts[i].size;
  }
  if (slot->client >= 0) (void)sendmsg(slot->client, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  drop_client(slot);
}

void refuse_client(struct slot *slot, uint32_t status, const char *problem) {
  struct part parts[] = {{&status, sizeof status}, {problem, strlen(problem)}};
  answer_client(slot, WIRE_REFUSED, parts, 2);
}

/* What is left of a client's descriptors. */
static int let_go(struct slot *slot) {
  for (int i = 0; i < STDIO; i++) {
    if (slot->stdio[i] < 0) continue;
    if (!may_wait(slot, i))
      close(slot->stdio[i]);
    else
      slot->odd[slot->odd_count++] = slot->stdio[i];
    slot->stdio[i] = -1;
  }
  const size_t count = (size_t)slot->odd_count;
  slot->odd_count = 0;
  return count == 0 ? -1 : close_elsewhere(slot->odd, count);
}

/* The end of what has the place still. Where it cannot be heard of now, that is tried again. */
void slot_await(struct slot *slot) {
  if (!watch(slot->process.pidfd, WATCH_PROCESS, slot_tag(slot), EPOLLIN)) slot->deadline_ms = now_ms() + 1000;
}

/* Its uid has the place until the relay is gone and the client's descriptors are closed: either can wait for the
 * client. */
void slot_release(struct slot *slot) {
  drop_client(slot);
  close_fd(&slot->process.gate);
  close_fd(&slot->process.pidfd);
  close_fd(&slot->relay.gate);
  process_discard(&slot->proxy);
  close_fd(&slot->word);
  close_fd(&slot->keys);
  group_remove(&slot->process.group);
  if (slot->relay.pidfd >= 0) (void)syscall(SYS_pidfd_send_signal, slot->relay.pidfd, SIGKILL, NULL, 0);
  slot->process.pidfd = slot->relay.pidfd >= 0 ? slot->relay.pidfd : let_go(slot);
  slot->relay = no_process;
  slot->state = slot->process.pidfd >= 0 ? SLOT_ENDED : SLOT_FREE;
  if (slot->state == SLOT_FREE) slot->generation++;
  if (slot->state == SLOT_ENDED) slot_await(slot);
}
