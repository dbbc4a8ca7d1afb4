/*
 * sha256.c: SHA-256 as in FIPS 180-4, in portable C, and by the instructions of x86 processors that have them (Intel
 * SHA extensions, 2013): four times as fast, and what a run's output costs is hashing.
 *
 * test/native/relay.test.ts runs both ways against Node's.
 */
#include <string.h>

#include "sha256.h"

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

bool sha256_by_processor;

static uint32_t turned(uint32_t word, int bits) { return word >> bits | word << (32 - bits); }

static void portable_blocks(uint32_t state[8], const uint8_t *bytes, size_t count) {
  uint32_t w[64];
  for (; count > 0; count--, bytes += 64) {
    for (int i = 0; i < 16; i++) {
      memcpy(&w[i], bytes + 4 * i, 4);
      w[i] = __builtin_bswap32(w[i]);
    }
    for (int i = 16; i < 64; i++) {
      uint32_t before = w[i - 15], near = w[i - 2];
      w[i] = w[i - 16] + w[i - 7] + (turned(before, 7) ^ turned(before, 18) ^ before >> 3) +
             (turned(near, 17) ^ turned(near, 19) ^ near >> 10);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
#pragma GCC unroll 8
    for (int i = 0; i < 64; i++) {
      uint32_t first = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + constants[i] + w[i];
      uint32_t second = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g, g = f, f = e, e = d + first;
      d = c, c = b, b = a, a = first + second;
    }
    const uint32_t after[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) state[i] += after[i];
  }
}

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

static bool processor_can(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid_count(1, 0, &a, &b, &c, &d) || (c & bit_SSE4_1) == 0 || (c & bit_SSSE3) == 0) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29) != 0; /* SHA */
}

/* Four rounds an iteration: SHA256RNDS2 does two on (ABEF, CDGH); SHA256MSG1 and 2 make the words four rounds ahead. */
__attribute__((target("sha,sse4.1,ssse3"))) static void processor_blocks(uint32_t state[8], const uint8_t *bytes,
                                                                         size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0xb1);
  __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(state + 4)), 0x1b);
  __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
  for (; count > 0; count--, bytes += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; i++)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(bytes + 16 * i)), swap);
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      const __m128i now = w[i % 4], next = w[(i + 1) % 4], last = w[(i + 3) % 4];
      __m128i sum = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)(const void *)(constants + 4 * i)));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
      const __m128i seventh = _mm_alignr_epi8(last, w[(i + 2) % 4], 4);
      w[i % 4] = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(now, next), seventh), last);
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  low = _mm_shuffle_epi32(abef, 0x1b);
  high = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(low, high, 0xf0));
  _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(high, low, 8));
}
#else
static bool processor_can(void) { return false; }
static void processor_blocks(uint32_t state[8], const uint8_t *bytes, size_t count) {
  portable_blocks(state, bytes, count);
}
#endif

static void add_blocks(struct sha256 *sha, const uint8_t *bytes, size_t count) {
  if (sha256_by_processor)
    processor_blocks(sha->state, bytes, count);
  else
    portable_blocks(sha->state, bytes, count);
}

void sha256_begin(struct sha256 *sha) {
  static bool asked;
  if (!asked) sha256_by_processor = processor_can();
  asked = true;
  *sha = (struct sha256){
      .state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void sha256_add(struct sha256 *sha, const uint8_t *bytes, size_t size) {
  size_t held = sha->size % 64;
  sha->size += size;
  if (held > 0) {
    size_t part = size < 64 - held ? size : 64 - held;
    memcpy(sha->block + held, bytes, part);
    if (held + part < 64) return;
    add_blocks(sha, sha->block, 1);
    bytes += part;
    size -= part;
  }
  add_blocks(sha, bytes, size / 64);
  memcpy(sha->block, bytes + size / 64 * 64, size % 64);
}

void sha256_end(struct sha256 *sha, uint8_t digest[32]) {
  static const uint8_t padding[64] = {0x80};
  uint64_t bits = __builtin_bswap64(sha->size * 8);
  sha256_add(sha, padding, 1 + (119 - sha->size % 64) % 64);
  sha256_add(sha, (const uint8_t *)&bits, sizeof bits);
  for (int i = 0; i < 8; i++) {
    uint32_t word = __builtin_bswap32(sha->state[i]);
    memcpy(digest + 4 * i, &word, sizeof word);
  }
}
