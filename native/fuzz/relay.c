/*
 * relay.c: the relay under any order of readiness: what the run writes and the client takes comes in any pieces,
 * streams end or break at any time, the launcher says what it likes. The kernel here is a table of numbers, and the
 * claims are the relay's own:
 *
 *   - what is delivered is the beginning of what was written, within the cap, and the report says just that
 *   - nothing waits: a descriptor is read or written once poll said so, or by a call that does not wait
 *   - who is ready is attended to before the next poll: nobody waits for another, and nothing turns in circles
 *   - what is typed comes to the master in its order; the client's terminal is never read
 *
 * Input: struct options, then a byte for each thing that can go one way or another. Behind the last everything goes
 * well, and the launcher says that the time is over.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#define read(fd, bytes, size) model_read(fd, bytes, size)
#define write(fd, bytes, size) model_write(fd, bytes, size)
#define close(fd) model_close(fd)
#define ioctl(fd, request, size) model_ioctl(fd, request)
#define ppoll(polled, count, limit, mask) model_poll(polled, count, limit)
#define syscall(number, fd, part, ...) model_pwritev2(fd, part, __VA_ARGS__)
#define receive_descriptors(fd, bytes, size, fds, count) model_receive(fd, bytes, fds, count)
#define sigaction(number, action, old) ((void)(action), 0)
#define sigprocmask(how, set, old) 0
#define setitimer(kind, value, old) 0
#define main relay_main

static ssize_t model_read(int fd, void *bytes, size_t size);
static ssize_t model_write(int fd, const void *bytes, size_t size);
static int model_close(int fd);
static int model_ioctl(int fd, unsigned long request);
static int model_poll(struct pollfd *polled, nfds_t count, const struct timespec *limit);
static ssize_t model_pwritev2(int fd, const struct iovec *part, int parts, long low, long high, int flags);
static ssize_t model_receive(int fd, void *bytes, int *fds, size_t *count);

#include "../relay/relay.c"
#undef main

#include "../relay/recording.c" /* never opened here: its file has tests of its own */

#pragma clang attribute push(__attribute__((no_sanitize("coverage"))), apply_to = function)

#define CLAIM(what)                                                                                                    \
  do                                                                                                                   \
    if (!(what)) {                                                                                                     \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #what);                                        \
      abort();                                                                                                         \
    }                                                                                                                  \
  while (0)

/* Descriptors: where the three streams go, where they come from, and what is typed. */
enum { TO = 10, FROM = 20, MASTER = FROM + TERMINAL, KEYS = 30, DESCRIPTORS = 31 };

struct options {
  uint8_t flags; /* 1: a terminal; 2: the order is cut short; 4: a descriptor lacks; 8, 16: no pwritev2(2) there */
  uint8_t kinds; /* enum wire_stdio, four bits each */
  uint16_t output_max;
};

static struct {
  struct options options;
  const uint8_t *at, *end;
  bool is_open[DESCRIPTORS], is_ready[DESCRIPTORS], is_unheard[DESCRIPTORS];
  bool knows_room[DESCRIPTORS]; /* poll has just said that it can be written to */
  bool has_ended[DESCRIPTORS];  /* or where it goes has: it may be closed */
  uint64_t written[STREAMS], delivered[STREAMS], typed, taken;
  struct sha256 sha[STREAMS]; /* of what was delivered */
  bool failed, is_over;       /* something did not get to its client; the launcher said so */
  int reports;
  struct wire_output report;
  uint32_t calls;
} model;

/* 255: there are no more. */
static uint8_t choice(void) { return model.at < model.end ? *model.at++ : 255; }
static bool has_choice(void) { return model.at < model.end; }

/* What a stream brings from its byte `at` on; `STREAMS`: what is typed. As many as are read at once. */
static const uint8_t *pattern(int stream, uint64_t at) {
  enum { PERIOD = 251 };
  static uint8_t bytes[STREAMS + 1][PERIOD + CHUNK];
  for (size_t i = 0; bytes[stream][0] == 0 && i < sizeof bytes[0]; i++)
    bytes[stream][sizeof bytes[0] - 1 - i] = (uint8_t)(1 + (sizeof bytes[0] - 1 - i + (size_t)stream * 64) % PERIOD);
  return bytes[stream] + at % PERIOD;
}

static int fails(int error) {
  errno = error;
  return -1;
}

/* Something is done with this descriptor. */
static void touch(int fd) {
  CLAIM(fd >= 0 && fd < DESCRIPTORS && model.is_open[fd]);
  model.is_unheard[fd] = false;
  CLAIM(++model.calls < 100000 || has_choice());
}

static size_t some_of(size_t size, uint8_t how) {
  size_t n = how < 0xe0 ? (size_t)how + 1 : how < 0xf0 ? (how & 15) * 4096u + 1 : size - (255u - how);
  return n == 0 || n > size ? size : n;
}

static ssize_t hear_word(char *byte) {
  uint8_t how = choice();
  model.is_over = model.is_over || how >= 0x20;
  *byte = how < 0x20 ? 'W' : 'E';
  return how == 0x21 ? 0 : how == 0x22 ? fails(ECONNRESET) : 1;
}

/* A run's pipe, or what is typed: it has something, or ends. What the master had can be gone again: tcflush(3). */
static ssize_t take_from(int fd, uint64_t *count, uint8_t *bytes, size_t size) {
  const int stream = fd == KEYS ? STREAMS : fd - FROM;
  uint8_t how = choice();
  if (how == 0) return fails(EINTR);
  if (how == 1 && fd == MASTER) return fails(EAGAIN);
  model.has_ended[fd] = how == 2 || how == 3 || how == 255;
  if (how == 2 || how == 255) return 0;
  if (how == 3) return fails(EIO);
  size_t n = some_of(size, how);
  memcpy(bytes, pattern(stream, *count), n);
  *count += n;
  return (ssize_t)n;
}

static ssize_t model_read(int fd, void *bytes, size_t size) {
  touch(fd);
  CLAIM(model.is_ready[fd] || fd == MASTER);
  model.is_ready[fd] = false;
  if (fd == LAUNCHER) return hear_word(bytes);
  if (fd == KEYS) return take_from(fd, &model.typed, bytes, size);
  CLAIM(fd >= FROM && fd < FROM + STREAMS);
  return take_from(fd, &model.written[fd - FROM], bytes, size);
}

/* What a client's end does with bytes. */
static ssize_t deliver_to(int stream, const uint8_t *bytes, size_t size) {
  static const int errors[] = {EAGAIN, EINTR, EPIPE, EBADF, EIO, ENOSPC};
  uint8_t how = choice();
  if (how < 6) {
    model.failed = model.failed || how > 1 || model.is_over;
    model.has_ended[FROM + stream] = model.has_ended[FROM + stream] || how > 1;
    return fails(errors[how]);
  }
  size_t n = some_of(size, how);
  CLAIM(memcmp(bytes, pattern(stream, model.delivered[stream]), n) == 0);
  sha256_add(&model.sha[stream], bytes, n);
  model.delivered[stream] += n;
  return (ssize_t)n;
}

static ssize_t model_pwritev2(int fd, const struct iovec *part, int parts, long low, long high, int flags) {
  touch(fd);
  CLAIM(fd >= TO && fd < TO + STREAMS && parts == 1 && low == -1 && high == -1 && part->iov_len > 0);
  int stream = fd - TO;
  bool is_file = stream != TERMINAL && (model.options.kinds >> (4 * stream) & 15) == WIRE_STDIO_FILE;
  CLAIM(is_file || flags == RWF_NOWAIT);
  if (!is_file && (stream == TERMINAL || (model.options.flags & (8 << stream)) != 0)) return fails(EOPNOTSUPP);
  return deliver_to(stream, part->iov_base, part->iov_len);
}

static ssize_t type_to_master(const uint8_t *bytes, size_t size) {
  uint8_t how = choice();
  if (how < 3) return fails(how == 0 ? EAGAIN : how == 1 ? EINTR : EIO);
  size_t n = some_of(size, how);
  CLAIM(memcmp(bytes, pattern(STREAMS, model.taken), n) == 0);
  model.taken += n;
  return (ssize_t)n;
}

static ssize_t model_write(int fd, const void *bytes, size_t size) {
  touch(fd);
  if (fd == LAUNCHER) {
    CLAIM(size == sizeof model.report && model.reports++ == 0);
    memcpy(&model.report, bytes, sizeof model.report);
    return (ssize_t)size;
  }
  CLAIM(size > 0);
  if (fd == MASTER) {
    ssize_t n = type_to_master(bytes, size);
    if (n < 0 && errno == EIO) model.taken = model.typed; /* what it does not take is thrown away */
    return n;
  }
  CLAIM(fd >= TO && fd < TO + STREAMS && size <= 4096 && model.knows_room[fd]);
  model.knows_room[fd] = false;
  return deliver_to(fd - TO, bytes, size);
}

static int model_close(int fd) {
  touch(fd);
  CLAIM(model.has_ended[fd]);
  model.is_open[fd] = false;
  return 0;
}

static int model_ioctl(int fd, unsigned long request) {
  CLAIM(fd == (request == TIOCSWINSZ ? MASTER : TO + TERMINAL));
  CLAIM(model.is_open[fd]);
  return choice() % 2 == 0 ? 0 : fails(ENOTTY);
}

/* Whether there is room in one descriptor, now. */
static int model_look(struct pollfd *polled) {
  touch(polled->fd);
  CLAIM(polled->events == POLLOUT && polled->fd >= TO && polled->fd < TO + STREAMS);
  uint8_t how = choice();
  polled->revents = how < 8 ? 0 : how < 16 ? POLLERR : POLLOUT;
  model.knows_room[polled->fd] = how >= 8;
  model.failed = model.failed || (how < 8 && model.is_over);
  return how == 0 ? fails(EINTR) : how >= 8;
}

static int model_poll(struct pollfd *polled, nfds_t count, const struct timespec *limit) {
  if (limit != NULL) return count == 1 && limit->tv_sec == 0 && limit->tv_nsec == 0 ? model_look(polled) : (abort(), 0);
  bool waits = has_choice();
  int ready = 0, asked = 0;
  for (int fd = 0; fd < DESCRIPTORS; fd++) {
    CLAIM(!model.is_open[fd] || !model.is_unheard[fd]);
    model.is_ready[fd] = false;
  }
  if (waits && choice() == 0) return fails(EINTR);
  for (nfds_t i = 0; i < count; i++) {
    polled[i].revents = 0;
    if (polled[i].fd < 0) continue;
    CLAIM(polled[i].fd < DESCRIPTORS && model.is_open[polled[i].fd]);
    asked++;
    uint8_t how = choice();
    if (how < 0x60) continue;
    polled[i].revents = how < 0x70 ? POLLHUP : polled[i].events;
    model.is_ready[polled[i].fd] = model.is_unheard[polled[i].fd] = true;
    ready++;
  }
  CLAIM(asked > 0);
  CLAIM(++model.calls < 100000 || waits);
  return ready;
}

static ssize_t model_receive(int fd, void *bytes, int *fds, size_t *count) {
  touch(fd);
  if (fd == KEYS) { /* the master, with the first byte */
    CLAIM(model.is_ready[fd] && *count == 1);
    uint8_t how = choice();
    *count = how % 4 == 0 ? 0 : 1;
    if (*count == 1) model.is_open[fds[0] = MASTER] = true;
    model.is_ready[fd] = false;
    model.has_ended[fd] = how % 4 != 3;
    return how % 4 == 1 ? fails(EPROTO) : how % 4 == 2 ? 0 : 1;
  }
  const struct options *options = &model.options;
  const struct wire_relay order = {.output_max = (uint64_t)options->output_max << 4,
                                   .stdio = {options->kinds & 15, options->kinds >> 4},
                                   .terminal = options->flags & 1};
  const int passed[6] = {TO, TO + 1, TO + 2, FROM, FROM + 1, KEYS};
  CLAIM(fd == LAUNCHER && *count == 6);
  memcpy(bytes, &order, sizeof order);
  memcpy(fds, passed, sizeof passed);
  if ((options->flags & 4) != 0) *count = 5;
  return (ssize_t)sizeof order - ((options->flags & 2) != 0);
}

void confine(void) {}

static uint64_t check_stream(int stream, const struct wire_stream *report) {
  uint8_t digest[32];
  sha256_end(&model.sha[stream], digest);
  CLAIM(report->written == model.written[stream] && report->delivered == model.delivered[stream]);
  CLAIM(memcmp(digest, report->sha256, sizeof digest) == 0);
  return report->delivered;
}

static void check_report(void) {
  const struct wire_output *report = &model.report;
  const uint64_t most = (uint64_t)model.options.output_max << 4;
  const uint64_t written = model.written[OUT] + model.written[ERR] + model.written[TERMINAL];
  const uint64_t delivered =
      check_stream(OUT, &report->out) + check_stream(ERR, &report->err) + check_stream(TERMINAL, &report->terminal);
  CLAIM(delivered <= most && report->version == WIRE_VERSION);
  CLAIM(((report->flags & WIRE_OUTPUT_TERMINAL) != 0) == ((model.options.flags & 1) != 0));
  CLAIM(((report->flags & WIRE_OUTPUT_UNDELIVERED) != 0) == model.failed);
  if (!model.failed) CLAIM(delivered == (written < most ? written : most));
  if (!model.failed) CLAIM(((report->flags & WIRE_OUTPUT_CAPPED) != 0) == (written > most));
  if ((report->flags & WIRE_OUTPUT_CAPPED) != 0) CLAIM(written > most);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < sizeof model.options) return 0;
  memset(&model, 0, sizeof model);
  memcpy(&model.options, data, sizeof model.options);
  model.at = data + sizeof model.options;
  model.end = data + size;
  for (int i = 0; i < STREAMS; i++) {
    model.is_open[TO + i] = model.is_open[FROM + i] = true;
    sha256_begin(&model.sha[i]);
  }
  model.is_open[MASTER] = false;
  model.is_open[LAUNCHER] = model.is_open[KEYS] = true;
  output = (struct wire_output){.version = WIRE_VERSION};
  keys.at = keys.size = 0;
  time_is_over = false;
  bool is_order = (model.options.flags & 6) == 0;
  CLAIM(relay_main() == 0 && model.reports == (is_order ? 1 : 0));
  if (is_order) check_report();
  return 0;
}

#pragma clang attribute pop
