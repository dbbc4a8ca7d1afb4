/* cursor.c: bounded reading. Nothing here trusts a length that it did not compare with what is left. */
#include <string.h>

#include "frame.h"

const uint8_t *take(struct cursor *c, size_t size) {
  if (c->bad || size > (size_t)(c->end - c->at)) {
    c->bad = true;
    return NULL;
  }
  const uint8_t *bytes = c->at;
  c->at += size;
  return bytes;
}

uint8_t take_u8(struct cursor *c) {
  const uint8_t *b = take(c, 1);
  return b == NULL ? 0 : b[0];
}

uint16_t take_u16(struct cursor *c) {
  uint16_t value = 0;
  const uint8_t *b = take(c, sizeof value);
  if (b != NULL) memcpy(&value, b, sizeof value);
  return value;
}

uint32_t take_u32(struct cursor *c) {
  uint32_t value = 0;
  const uint8_t *b = take(c, sizeof value);
  if (b != NULL) memcpy(&value, b, sizeof value);
  return value;
}

uint64_t take_u64(struct cursor *c) {
  uint64_t value = 0;
  const uint8_t *b = take(c, sizeof value);
  if (b != NULL) memcpy(&value, b, sizeof value);
  return value;
}

void take_text(struct cursor *c, size_t size, char *out, size_t capacity) {
  const uint8_t *b = take(c, size);
  out[0] = 0;
  if (b == NULL) return;
  if (size >= capacity || memchr(b, 0, size) != NULL) {
    c->bad = true;
    return;
  }
  memcpy(out, b, size);
  out[size] = 0;
}
