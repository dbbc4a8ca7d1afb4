/* mutate.h: changing a part of an input in its place, for mutators that know where parts begin and end. */
#ifndef BELLADONNA_FUZZ_MUTATE_H
#define BELLADONNA_FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* Mutates data[at, at + part), moves what follows, and returns the new size of the whole. */
static inline size_t mutate_part(uint8_t *data, size_t size, size_t most, size_t at, size_t part, size_t *part_now) {
  static uint8_t copy[1u << 18];
  size_t room = most - size + part;
  if (part > sizeof copy) return size;
  if (room > sizeof copy) room = sizeof copy;
  memcpy(copy, data + at, part);
  *part_now = LLVMFuzzerMutate(copy, part, room);
  memmove(data + at + *part_now, data + at + part, size - at - part);
  memcpy(data + at, copy, *part_now);
  return size - part + *part_now;
}

#endif
