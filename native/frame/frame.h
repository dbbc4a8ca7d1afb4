/* frame.h: reading bytes that somebody else wrote, and messages with descriptors. For launcher, sandbox and relay. */
#ifndef BELLADONNA_FRAME_H
#define BELLADONNA_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- cursor.c: bounded reading of bytes that somebody else wrote ---- */

/* `bad` is set by the first read past the end and stays; every value read from then on is 0. */
struct cursor {
  const uint8_t *at;
  const uint8_t *end;
  bool bad;
};

const uint8_t *take(struct cursor *c, size_t size);
bool take_into(struct cursor *c, void *value, size_t size); /* false: bad */
uint8_t take_u8(struct cursor *c);
uint16_t take_u16(struct cursor *c);
uint32_t take_u32(struct cursor *c);
uint64_t take_u64(struct cursor *c);
/* Copies `size` bytes and a NUL into `out`; bad if they do not fit or hold a NUL themselves. */
void take_text(struct cursor *c, size_t size, char *out, size_t capacity);

/* ---- descriptors.c ---- */

/* One message with descriptors. false: errno says why. */
bool send_descriptors(int socket, const void *bytes, size_t size, const int *fds, size_t count);
#define MAX_DESCRIPTORS 253u /* SCM_MAX_FD: as many as there can be in one message */
void close_fd(int *fd);      /* -1 is fine, and what is left */
/* `count`: in, how many are acceptable; out, how many came. More than that is EPROTO, and all are closed (C28); some
 * that were lost for want of numbers are EPROTO too, and the others are the caller's. */
ssize_t receive_descriptors(int socket, void *bytes, size_t capacity, int *fds, size_t *count);
/* Writes a small file of the kernel's in one call. -1: errno says why. */
ssize_t read_text(int directory, const char *path, char *text, size_t capacity); /* -1: it could not be opened */
int write_text(int directory, const char *path, const char *text);

#endif
