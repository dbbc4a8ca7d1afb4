/* sha256.h: SHA-256 (FIPS 180-4), of our own: the relay is linked with nothing. */
#ifndef BELLADONNA_SHA256_H
#define BELLADONNA_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sha256 {
  uint32_t state[8];
  uint64_t size;
  uint8_t block[64];
};

void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const uint8_t *bytes, size_t size);
void sha256_end(struct sha256 *sha, uint8_t digest[32]);

/* Whether the processor's own instructions are used. Set by the first `sha256_begin`; for tests it may be cleared. */
extern bool sha256_by_processor;

#endif
