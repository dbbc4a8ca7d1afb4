/*
 * relay: pumps what one run writes to the client's descriptors, up to a cap, and says how much it was and its SHA-256.
 *
 * Where its order says so it also records. Started ahead by the launcher, used once. It trusts its socket, descriptor
 * 0, which is the launcher's; not the run, and not whoever holds the client's ends. Taken over, it can lie about this
 * run's output and keep it back, no more.
 *
 *   - What is hashed is what is delivered: bytes are read into memory of our own and written from there. tee(2) and
 *     splice(2) would hand on the run's own pages, which it could change after they were hashed (vmsplice(2)).
 *   - What is beyond the cap is counted and thrown away. The run is not stopped: its work matters, not its words.
 *   - Nothing waits on one stream for the other: a write never blocks, or is interrupted.
 *   - A client's end that does not take anything any more is a broken pipe to the run, as if it had it itself; and if
 *     that was the client's terminal, the run's hangs up.
 *   - Of a terminal nothing is interpreted: bytes from its master go to the client's, bytes that the client's bell read
 *     go to its master, where the kernel's line discipline makes signals of some. The client's is never read here: who
 *     may read it, and when, is its own shell's affair.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <linux/fs.h>

#include "../frame/frame.h"
#include "../wire.h"
#include "confine.h"
#include "recording.h"
#include "sha256.h"

enum { LAUNCHER = 0 };

#define CHUNK 65536u /* as much as a pipe holds, unless somebody made it larger */
#define TEST_EVERY_US 100000

struct stream {
  int from, to; /* `from` -1: it has ended */
  size_t most;  /* bytes in one write */
  int flags;    /* RWF_NOWAIT: a write takes what there is room for */
  bool blocks;  /* write(2) waits here, whatever we ask */
  bool gone;    /* nothing is delivered any more, only counted: the run is about to end */
  struct wire_stream *report;
  struct sha256 sha;
  uint64_t kept;   /* of what was written, up to the cap */
  size_t at, size; /* of `bytes`: what is not delivered yet */
  uint8_t bytes[CHUNK];
};

enum { OUT = 0, ERR = 1, TERMINAL = 2, STREAMS = 3 }; /* the last is from the master of the run's terminal */

static struct stream streams[STREAMS];
static struct {
  int from; /* -1: nothing more is typed */
  size_t at, size;
  uint8_t bytes[4096];
} keys;
static struct wire_output output = {.version = WIRE_VERSION};
/* Bytes until the cap, of all streams together; in a recording each chunk has a head too. */
static uint64_t room;
static bool time_is_over, detached; /* the second: no end of the client's is one of the run's */

static void interrupt_write(int number) { (void)number; }

/* Of a write(2) that may wait, SIGALRM makes one that looks up ten times a second. */
static void expect_blocking(struct stream *stream) {
  const struct itimerval often = {{0, TEST_EVERY_US}, {0, TEST_EVERY_US}};
  stream->blocks = true;
  stream->most = 4096; /* what a pipe takes at once if it takes anything, pipe(7) */
  (void)setitimer(ITIMER_REAL, &often, NULL);
}

/* -1, EAGAIN: not now. */
static ssize_t put(struct stream *stream) {
  size_t size = stream->size - stream->at;
  if (size > stream->most) size = stream->most;
  const struct iovec part = {stream->bytes + stream->at, size};
  ssize_t n;
  if (!stream->blocks) {
    n = syscall(SYS_pwritev2, stream->to, &part, 1, -1L, -1L, stream->flags); /* where the descriptor stands */
    if (n >= 0 || errno != EOPNOTSUPP) return n;
    expect_blocking(stream); /* a terminal, or a pipe before Linux 6.5 */
  }
  const struct timespec at_once = {0};
  struct pollfd ready = {.fd = stream->to, .events = POLLOUT};
  if (ppoll(&ready, 1, &at_once, NULL) == 0) errno = EAGAIN;
  return ready.revents == 0 ? -1 : write(stream->to, part.iov_base, size < stream->most ? size : stream->most);
}

static void end(struct stream *stream) {
  if (stream->from >= 0) close(stream->from);
  stream->from = -1;
  stream->at = stream->size = 0;
}

static void deliver(struct stream *stream) {
  while (stream->at < stream->size) {
    ssize_t n = put(stream);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !time_is_over) return;
    if (n <= 0) {
      output.flags |= WIRE_OUTPUT_UNDELIVERED;
      stream->gone = time_is_over || detached || errno == EBADF; /* a terminal that was opened for reading only */
      if (!stream->gone) end(stream);
      stream->at = stream->size = 0;
      return;
    }
    sha256_add(&stream->sha, stream->bytes + stream->at, (size_t)n);
    stream->report->delivered += (uint64_t)n;
    stream->at += (size_t)n;
  }
}

static size_t fitting(size_t size) {
  const uint64_t head = recording_is_open() ? sizeof(struct wire_chunk) : 0;
  const uint64_t most = room > head ? room - head : 0;
  if (size > most) size = (size_t)most;
  if (size > 0) room -= size + head;
  return size;
}

/* Before it is delivered: the client gets nothing that is not in the recording. */
static void keep(struct stream *stream, size_t size) {
  if (recording_is_open())
    recording_add((enum wire_chunk_kind)(WIRE_CHUNK_STDOUT + (stream - streams)), stream->bytes, size);
  stream->kept += size;
}

/* Takes what is there, up to the cap; behind it, away with it. */
static void take_in(struct stream *stream) {
  ssize_t n = read(stream->from, stream->bytes, CHUNK);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return; /* ready, and then not: select(2), BUGS */
  if (n <= 0) {
    end(stream);
    return;
  }
  stream->report->written += (uint64_t)n;
  if (stream->gone) output.flags |= WIRE_OUTPUT_UNDELIVERED;
  if (stream->gone && !recording_is_open()) return;
  size_t size = fitting((size_t)n);
  if (size < (size_t)n) output.flags |= WIRE_OUTPUT_CAPPED;
  if (size > 0) keep(stream, size);
  if (stream->gone) return;
  stream->at = 0;
  stream->size = size;
  if (!recording_failed()) deliver(stream);
}

/* ---- the terminal ---- */

/* The kernel tells the run by SIGWINCH, if it is another one. */
static void copy_size(void) {
  static struct winsize last;
  struct winsize size;
  if (streams[TERMINAL].from < 0 || ioctl(streams[TERMINAL].to, TIOCGWINSZ, &size) != 0) return;
  (void)ioctl(streams[TERMINAL].from, TIOCSWINSZ, &size);
  const uint16_t shape[] = {size.ws_col, size.ws_row};
  const bool same = size.ws_col == last.ws_col && size.ws_row == last.ws_row;
  if (!recording_is_open() || same || fitting(sizeof shape) < sizeof shape) return;
  recording_add(WIRE_CHUNK_SIZE, shape, sizeof shape);
  last = size;
}

/* The first byte brings the master. End of file before that: the run ends without a terminal. */
static void take_master(void) {
  char byte;
  size_t count = 1;
  if (receive_descriptors(keys.from, &byte, 1, &streams[TERMINAL].from, &count) != 1 || count != 1) {
    streams[TERMINAL].from = -1;
    close(keys.from);
    keys.from = -1;
  }
  copy_size(); /* it may have changed since the run's was made */
}

static void take_keys(void) {
  ssize_t n = read(keys.from, keys.bytes, sizeof keys.bytes);
  keys.at = 0;
  keys.size = n > 0 ? (size_t)n : 0;
  if (n > 0 || (n < 0 && errno == EINTR)) return;
  close(keys.from);
  keys.from = -1;
}

/* It takes what there is room for: the master does not block. */
static void type_keys(void) {
  ssize_t n = write(streams[TERMINAL].from, keys.bytes + keys.at, keys.size - keys.at);
  if (n > 0) keys.at += (size_t)n;
  if (n < 0 && errno != EAGAIN && errno != EINTR) keys.at = keys.size;
}

static struct pollfd wanted_of_keys(void) {
  bool known = streams[TERMINAL].from >= 0;
  if (known && keys.at < keys.size) return (struct pollfd){.fd = streams[TERMINAL].from, .events = POLLOUT};
  return (struct pollfd){.fd = keys.from, .events = POLLIN};
}

/* ---- the loop ---- */

/* Its ends are let go of too: whoever reads them need not wait for the run. */
static void leave_client(void) {
  for (int i = 0; i < STREAMS; i++) {
    struct stream *stream = &streams[i];
    if (stream->at < stream->size) output.flags |= WIRE_OUTPUT_UNDELIVERED;
    stream->at = stream->size = 0;
    stream->gone = true;
    if (stream->to >= 0) close(stream->to);
    stream->to = -1;
  }
}

/* Taken, or the launcher would get ECONNRESET at our end instead of our report. */
static void hear_launcher(void) {
  char byte;
  ssize_t n = read(LAUNCHER, &byte, 1);
  if (n == 1 && byte == 'W')
    copy_size();
  else if (n == 1 && byte == 'D')
    leave_client();
  else
    time_is_over = true;
}

static bool is_active(const struct stream *stream) { return stream->from >= 0 || stream->size > 0; }

/* A terminal that is awaited comes before the command begins, or never. */
static bool goes_on(bool *awaited) {
  if (recording_failed()) return false;
  *awaited = *awaited && !time_is_over && streams[TERMINAL].from < 0 && keys.from >= 0;
  return *awaited || is_active(&streams[OUT]) || is_active(&streams[ERR]) || is_active(&streams[TERMINAL]);
}

static void pump(bool awaited) {
  while (goes_on(&awaited)) {
    struct pollfd polled[STREAMS + 2] = {[STREAMS] = {.fd = LAUNCHER, .events = POLLIN}};
    for (int i = 0; i < STREAMS; i++) {
      struct stream *stream = &streams[i];
      bool full = stream->at < stream->size;
      if (!full) stream->at = stream->size = 0;
      polled[i] = (struct pollfd){.fd = full ? stream->to : stream->from, .events = full ? POLLOUT : POLLIN};
    }
    if (awaited || streams[TERMINAL].from >= 0)
      polled[STREAMS + 1] = wanted_of_keys();
    else
      polled[STREAMS + 1].fd = -1;
    if (time_is_over) polled[STREAMS].fd = polled[STREAMS + 1].fd = -1;
    if (ppoll(polled, STREAMS + 2, NULL, NULL) < 0) continue;
    if (polled[STREAMS].revents != 0) hear_launcher();
    if (polled[STREAMS + 1].revents != 0) awaited ? take_master() : keys.at < keys.size ? type_keys() : take_keys();
    for (int i = 0; i < STREAMS; i++) {
      struct stream *stream = &streams[i];
      if (stream->at < stream->size && (polled[i].revents != 0 || time_is_over))
        deliver(stream);
      else if (stream->from >= 0 && polled[i].revents != 0)
        take_in(stream);
    }
  }
}

static void begin(struct stream *stream, int from, int to, uint8_t kind, struct wire_stream *report) {
  *stream = (struct stream){.from = from, .to = to, .most = CHUNK, .report = report};
  if (kind != WIRE_STDIO_FILE) stream->flags = RWF_NOWAIT; /* a file waits for nobody */
  sha256_begin(&stream->sha);
}

/* Before that nothing of the run was read, and its gate is shut. false: it is over, for itself or because we say so. */
static bool begin_recording(const struct wire_relay *order) {
  char byte = 0;
  while (byte != 'O')
    if (read(LAUNCHER, &byte, 1) != 1) return false;
  if (recording_open(order)) return write(LAUNCHER, "R", 1) == 1;
  output.recording = (struct wire_recording){.state = WIRE_RECORDING_FAILED, .error = (uint32_t)errno};
  (void)!write(LAUNCHER, &output, sizeof output);
  return false;
}

static void report_output(void) {
  const uint64_t left_out[] = {output.out.written - streams[OUT].kept, output.err.written - streams[ERR].kept,
                               output.terminal.written - streams[TERMINAL].kept};
  for (int i = 0; i < STREAMS; i++) /* what waits when the recording fails is kept back */
    if (streams[i].at < streams[i].size) output.flags |= WIRE_OUTPUT_UNDELIVERED;
  sha256_end(&streams[OUT].sha, output.out.sha256);
  sha256_end(&streams[ERR].sha, output.err.sha256);
  sha256_end(&streams[TERMINAL].sha, output.terminal.sha256);
  if (recording_is_open()) recording_end(left_out, &output.recording);
}

int main(void) {
  struct wire_relay order;
  struct sigaction on_alarm = {.sa_handler = interrupt_write}; /* without SA_RESTART */
  sigset_t all;
  int fds[6];
  size_t count = 6;
  sigfillset(&all);
  sigdelset(&all, SIGALRM);
  if (sigaction(SIGALRM, &on_alarm, NULL) != 0 || sigprocmask(SIG_SETMASK, &all, NULL) != 0) return 125;
  if (receive_descriptors(LAUNCHER, &order, sizeof order, fds, &count) != (ssize_t)sizeof order || count != 6) return 0;
  if (order.recorded != 0 && !begin_recording(&order)) return 0;
  confine();
  room = order.output_max;
  detached = order.detached != 0;
  begin(&streams[OUT], fds[3], fds[0], order.stdio[0], &output.out);
  begin(&streams[ERR], fds[4], fds[1], order.stdio[1], &output.err);
  begin(&streams[TERMINAL], -1, fds[2], WIRE_STDIO_TERMINAL, &output.terminal);
  keys.from = order.terminal != 0 ? fds[5] : -1;
  if (order.terminal != 0) output.flags |= WIRE_OUTPUT_TERMINAL;
  pump(order.terminal != 0);
  report_output();
  return write(LAUNCHER, &output, sizeof output) == (ssize_t)sizeof output ? 0 : 1;
}
