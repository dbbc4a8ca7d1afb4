/* relay-sha256.c: SHA-256 of standard input by native/relay/sha256.c, in pieces of argv[1] bytes; argv[2]: portable. */
#include "relay/sha256.c"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
  static uint8_t bytes[1u << 20];
  uint8_t digest[32];
  struct sha256 sha;
  size_t most = argc > 1 ? strtoul(argv[1], NULL, 10) : sizeof bytes;
  ssize_t n;
  sha256_begin(&sha);
  if (argc > 2) sha256_by_processor = false;
  while ((n = read(0, bytes, most)) > 0) sha256_add(&sha, bytes, (size_t)n);
  sha256_end(&sha, digest);
  for (int i = 0; i < 32; i++) printf("%02x", digest[i]);
  return n == 0 ? 0 : 1;
}
