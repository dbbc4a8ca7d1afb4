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

bool take_into(struct cursor *c, void *value, size_t size) {
  const uint8_t *bytes = take(c, size);
  if (bytes == NULL)
    memset(value, 0, size);
  else
    memcpy(value, bytes, size);
  return bytes != NULL;
}

uint8_t take_u8(struct cursor *c) {
  uint8_t value;
  (void)take_into(c, &value, sizeof value);
  return value;
}

uint16_t take_u16(struct cursor *c) {
  uint16_t value;
  (void)take_into(c, &value, sizeof value);
  return value;
}

uint32_t take_u32(struct cursor *c) {
  uint32_t value;
  (void)take_into(c, &value, sizeof value);
  return value;
}

uint64_t take_u64(struct cursor *c) {
  uint64_t value;
  (void)take_into(c, &value, sizeof value);
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
