/*
 * streams.h: both services as session.c plays them: what they said, what they heard, and what must be true of it. Only
 * session.c includes it.
 */
#define MAX_SENT (WIRE_MAX_FRAME * 2u)
#define SEALED_SIZE (WIRE_MAX_READ + 1000u)

struct stream {
  int fd; /* the service's end of its channel */
  size_t sent, heard;
  uint8_t out[MAX_SENT], in[CHANNEL_OUT + WIRE_MAX_FRAME];
};

static struct stream streams[2];
static uint8_t input[SEALED_SIZE]; /* what stands in a sealed descriptor */
static int reloads_due;            /* RELOADs that both must hear */

/* By its run's slot: what a relay said last; `size` 0: not a whole word. */
static struct word {
  uint64_t run;
  size_t size;
  struct wire_output output;
} words[MAX_SLOTS];

static int make_sealed(void) {
  int fd = memfd_create("input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  for (size_t i = 0; i < sizeof input; i++) input[i] = (uint8_t)(i * 7 + i / 251);
  if (fd < 0 || (write)(fd, input, sizeof input) != (ssize_t)sizeof input) return -1;
  return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0 ? fd : -1;
}

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

/* The capabilities that the executor had said when it sent the PREPARE of this run. */
static uint64_t kept_before(const struct stream *stream, uint64_t run) {
  struct wire_head head;
  uint64_t kept = 0, found;
  for (size_t at = 0; stream->sent - at >= sizeof head; at += sizeof head + head.size) {
    memcpy(&head, stream->out + at, sizeof head);
    if (head.size > stream->sent - at - sizeof head) return kept;
    if (head.size < sizeof found) continue;
    memcpy(&found, stream->out + at + sizeof head, sizeof found);
    if (head.kind == WIRE_PREPARE && found == run) return kept;
    if (head.kind == WIRE_KEPT || head.kind == WIRE_EXECUTOR_READY) kept = found;
  }
  return kept;
}

/* A part of a sealed input that was asked for: all that there is, up to the limit. */
static void check_bytes(const uint8_t *body, size_t size) {
  struct wire_bytes part;
  CLAIM(size >= sizeof part);
  memcpy(&part, body, sizeof part);
  size_t left = part.offset < SEALED_SIZE ? SEALED_SIZE - part.offset : 0;
  CLAIM(part.size == SEALED_SIZE && size - sizeof part == (left < WIRE_MAX_READ ? left : WIRE_MAX_READ));
  CLAIM(left == 0 || memcmp(body + sizeof part, input + part.offset, size - sizeof part) == 0);
  CLAIM(has_frame(&streams[EXECUTOR], WIRE_READ, part.run) && part.input < STDIO);
}

/* What a run's relay said is passed on as it is. */
static void check_exited(const uint8_t *body, size_t size) {
  struct wire_exited end;
  CLAIM(size == sizeof end || size == sizeof end + sizeof(struct wire_output));
  memcpy(&end, body, sizeof end);
  if (size == sizeof end) return;
  for (size_t i = 0; i < MAX_SLOTS; i++)
    if (words[i].run == end.run && words[i].size > 0 && memcmp(&words[i].output, body + sizeof end, words[i].size) == 0)
      return;
  CLAIM(!"the relay said so");
}

/* BYTES is for the executor alone: takes such frames out of what it heard. */
static void take_out_bytes(struct stream *stream) {
  struct wire_head head;
  size_t left = 0;
  for (size_t at = 0; stream->heard - at >= sizeof head; at += sizeof head + head.size) {
    memcpy(&head, stream->in + at, sizeof head);
    CLAIM(head.size <= stream->heard - at - sizeof head);
    if (head.kind == WIRE_BYTES) check_bytes(stream->in + at + sizeof head, head.size);
    if (head.kind == WIRE_BYTES) continue;
    memmove(stream->in + left, stream->in + at, sizeof head + head.size);
    left += sizeof head + head.size;
  }
  stream->heard = left;
}

/* All that there is for both, and it is the same. */
static void hear_streams(void) {
  for (int i = 0; i < 2; i++) {
    struct stream *stream = &streams[i];
    struct channel *channel = &services[i].channel;
    stream->heard = 0;
    for (ssize_t n;
         (n = (recv)(stream->fd, stream->in + stream->heard, sizeof stream->in - stream->heard, MSG_DONTWAIT)) > 0;
         (void)channel_flush(channel))
      stream->heard += (size_t)n;
    CLAIM(channel->out_size == channel->out_from);
  }
  take_out_bytes(&streams[EXECUTOR]);
  CLAIM(streams[0].heard == streams[1].heard && memcmp(streams[0].in, streams[1].in, streams[0].heard) == 0);
}
