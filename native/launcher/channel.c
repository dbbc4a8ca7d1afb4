/*
 * channel.c: frames to and from a service, over a stream socket.
 *
 * A service is trusted with nothing here but its turn: a frame that is too large, or that its handler refuses, ends
 * both services (an unknown or out-of-turn request ends the process, as in OpenSSH's monitor.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "launcher.h"

bool channel_send(struct channel *channel, uint16_t kind, const struct part *parts, size_t count) {
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += parts[i].size;
  struct wire_head head = {.size = (uint32_t)size, .kind = kind, .zero = 0};
  if (channel->fd < 0 || size > WIRE_MAX_FRAME) return false;
  /* What was sent makes room: a reader that is never quite done must not fill it. */
  if (channel->out_from > 0) {
    channel->out_size -= channel->out_from;
    memmove(channel->out, channel->out + channel->out_from, channel->out_size);
    explicit_bzero(channel->out + channel->out_size, channel->out_from);
    channel->out_from = 0;
  }
  if (channel->out_size + sizeof head + size > CHANNEL_OUT) return false;

  uint8_t *out = channel->out + channel->out_size;
  memcpy(out, &head, sizeof head);
  out += sizeof head;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].size > 0) memcpy(out, parts[i].bytes, parts[i].size);
    out += parts[i].size;
  }
  channel->out_size += sizeof head + size;
  return channel_flush(channel);
}

bool channel_flush(struct channel *channel) {
  while (channel->out_from < channel->out_size) {
    ssize_t n = send(channel->fd, channel->out + channel->out_from, channel->out_size - channel->out_from,
                     MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN; /* the loop calls again when the socket can take more */
    channel->out_from += (size_t)n;
  }
  explicit_bzero(channel->out, channel->out_size); /* a secret may have been in it */
  channel->out_from = channel->out_size = 0;
  return true;
}

/* Takes the whole frames out of the buffer. false: one of them is not acceptable. */
static bool hand_out(struct channel *channel, bool (*handle)(uint16_t, struct cursor *)) {
  size_t from = 0;
  struct wire_head head;
  while (channel->in_size - from >= sizeof head) {
    memcpy(&head, channel->in + from, sizeof head);
    if (head.zero != 0 || head.size > WIRE_MAX_FRAME) return false;
    if (channel->in_size - from - sizeof head < head.size) break;
    const uint8_t *body = channel->in + from + sizeof head;
    struct cursor cursor = {.at = body, .end = body + head.size, .bad = false};
    if (!handle(head.kind, &cursor) || cursor.bad) return false;
    if (channel->fd < 0) return true; /* the handler closed us */
    from += sizeof head + head.size;
  }
  memmove(channel->in, channel->in + from, channel->in_size - from);
  channel->in_size -= from;
  return true;
}

bool channel_receive(struct channel *channel, bool (*handle)(uint16_t kind, struct cursor *body)) {
  for (;;) {
    ssize_t n = recv(channel->fd, channel->in + channel->in_size, CHANNEL_IN - channel->in_size, MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    channel->in_size += (size_t)n;
    bool drained = channel->in_size < CHANNEL_IN;
    if (!hand_out(channel, handle)) return false;
    if (channel->fd < 0 || drained) return true;
  }
}
