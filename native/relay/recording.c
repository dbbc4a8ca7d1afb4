/*
 * recording.c: the file is made before anything of the run can have been read, by calls that are given up then; what is
 * left is write(2) at its end, and ftruncate(2). The name is the request's nonce, which nobody chose; who asked, and
 * what ran, stands in the log. Nothing here waits for the disk to be done: the broker does, before it names the file.
 */
#include "recording.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "sha256.h"

/* What is left on the disk for others, of the log above all: who is recorded must not be able to stop the bridge, nor
 * bring it to where it only counts denials (src/host/disk-room.ts: this is twice as much). */
static bool leaves_room(const struct statfs *disk) {
  const uint64_t left = (uint64_t)disk->f_bavail * (uint64_t)disk->f_bsize;
  const uint64_t share = (uint64_t)disk->f_blocks * (uint64_t)disk->f_bsize / 8;
  return left >= 128u << 20 || (left >= share && left >= 2u << 20);
}

static struct {
  int file;
  int error; /* the first, for good */
  uint64_t size, began_us;
  struct sha256 sha;
} recording = {.file = -1};

static uint64_t now_us(void) {
  struct timespec now = {0};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void append(const void *bytes, size_t size) {
  const uint8_t *at = bytes;
  while (size > 0 && recording.error == 0) {
    ssize_t n = write(recording.file, at, size);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) recording.error = n < 0 ? errno : EIO;
    if (n <= 0) return;
    sha256_add(&recording.sha, at, (size_t)n);
    recording.size += (uint64_t)n;
    at += n;
    size -= (size_t)n;
  }
}

/* A disk that is full is one now, and not in the middle of the run. Where a file system cannot promise that
 * (EOPNOTSUPP), the run is lost when it comes to it. */
static bool reserve(uint64_t limit) {
  const uint64_t most = sizeof(struct wire_recording_head) + limit + sizeof(struct wire_chunk) + 3 * sizeof(uint64_t);
  struct statfs disk;
  if (fallocate(recording.file, FALLOC_FL_KEEP_SIZE, 0, (off_t)most) != 0 && errno != EOPNOTSUPP) return false;
  if (fstatfs(recording.file, &disk) != 0) return false;
  errno = ENOSPC;
  return leaves_room(&disk);
}

bool recording_open(const struct wire_relay *order) {
  struct wire_recording_head head = {.magic = {'B', 'E', 'L', 'L', 'R', 'E', 'C', '1'},
                                     .version = 1,
                                     .run = order->run,
                                     .time_ms = order->time_ms,
                                     .limit = order->output_max};
  char name[2 * sizeof order->nonce + 5];
  for (size_t i = 0; i < sizeof order->nonce; i++) snprintf(name + 2 * i, 3, "%02x", order->nonce[i]);
  memcpy(name + 2 * sizeof order->nonce, ".rec", 5);
  memcpy(head.nonce, order->nonce, sizeof head.nonce);
  recording.file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
  if (recording.file < 0) return false;
  sha256_begin(&recording.sha);
  recording.began_us = now_us();
  if (reserve(order->output_max)) append(&head, sizeof head);
  if (recording.size == sizeof head) return true;
  int error = recording.error != 0 ? recording.error : errno;
  (void)unlink(name);
  errno = error;
  return false;
}

bool recording_is_open(void) { return recording.file >= 0; }

bool recording_failed(void) { return recording.error != 0; }

void recording_add(enum wire_chunk_kind kind, const void *bytes, size_t size) {
  const struct wire_chunk chunk = {
      .size = (uint32_t)size, .kind = (uint16_t)kind, .at_us = now_us() - recording.began_us};
  append(&chunk, sizeof chunk);
  append(bytes, size);
}

void recording_end(const uint64_t left_out[3], struct wire_recording *report) {
  recording_add(WIRE_CHUNK_END, left_out, 3 * sizeof left_out[0]);
  if (ftruncate(recording.file, (off_t)recording.size) != 0 && recording.error == 0)
    recording.error = errno; /* the room that was not needed */
  sha256_end(&recording.sha, report->sha256);
  report->size = recording.size;
  report->state = recording.error == 0 ? WIRE_RECORDING_WHOLE : WIRE_RECORDING_FAILED;
  report->error = (uint32_t)recording.error;
}
