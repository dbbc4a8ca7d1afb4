/* messages.c: reads session.c's inputs, and mutates them so that messages and frames mostly stay whole. */
#include "messages.h"

#include <string.h>

#include "../wire.h"
#include "mutate.h"

#define HEAD 4u

bool next_message(const uint8_t **data, size_t *size, struct message *message) {
  if (*size < HEAD) return false;
  const uint8_t *at = *data;
  size_t body = (size_t)(at[2] | at[3] << 8);
  if (body > *size - HEAD) body = *size - HEAD;
  *message = (struct message){at[0] % OPERATIONS, at[1], (uint16_t)body, at + HEAD};
  *data += HEAD + body;
  *size -= HEAD + body;
  return true;
}

static void put_size(uint8_t *message, size_t body) {
  message[2] = (uint8_t)body;
  message[3] = (uint8_t)(body >> 8);
}

/* Where message `wanted` begins, counted around; `whole` is its size with its head. */
static uint8_t *find(uint8_t *data, size_t size, size_t wanted, size_t *whole) {
  const uint8_t *at = data;
  size_t left = size, count = 0;
  struct message message;
  while (next_message(&at, &left, &message)) count++;
  if (count == 0) return NULL;
  at = data;
  left = size;
  for (size_t i = 0; i <= wanted % count; i++) (void)next_message(&at, &left, &message);
  *whole = HEAD + message.size;
  return data + (message.bytes - HEAD - data);
}

/* The first frame in a message says how much follows it, and a PREPARE how it is divided. */
static void repair_frame(uint8_t *message, size_t body) {
  struct wire_head head;
  struct wire_prepare prepare;
  uint8_t *bytes = message + HEAD;
  if (body < sizeof head) return;
  memcpy(&head, bytes, sizeof head);
  head.size = (uint32_t)(body - sizeof head);
  head.zero = 0;
  memcpy(bytes, &head, sizeof head);
  if (head.kind != WIRE_PREPARE || head.size < sizeof prepare) return;
  memcpy(&prepare, bytes + sizeof head, sizeof prepare);
  size_t rest = head.size - sizeof prepare;
  if (prepare.proxy_size < rest) rest -= prepare.proxy_size;
  if (prepare.plan_size > rest) prepare.plan_size = (uint32_t)rest;
  prepare.command_size = (uint32_t)rest - prepare.plan_size;
  memcpy(bytes + sizeof head, &prepare, sizeof prepare);
}

static size_t mutate_body(uint8_t *data, size_t size, size_t most, uint8_t *at, size_t whole, bool repair) {
  size_t body, offset = (size_t)(at - data);
  if (most > size + 65535 - (whole - HEAD)) most = size + 65535 - (whole - HEAD);
  size = mutate_part(data, size, most, offset + HEAD, whole - HEAD, &body);
  put_size(data + offset, body);
  if (repair) repair_frame(data + offset, body);
  return size;
}

static size_t repeat(uint8_t *data, size_t size, size_t most, const uint8_t *at, size_t whole, uint8_t *to) {
  static uint8_t copy[HEAD + 65536];
  if (size + whole > most || whole > sizeof copy) return size;
  memcpy(copy, at, whole);
  memmove(to + whole, to, size - (size_t)(to - data));
  memcpy(to, copy, whole);
  return size + whole;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed) {
  size_t whole, other;
  uint8_t *at = find(data, size, seed >> 8, &whole);
  uint8_t *to = find(data, size, seed >> 16, &other);
  if (at == NULL) return LLVMFuzzerMutate(data, size, most);
  switch (seed % 8) {
  case 0:
    return LLVMFuzzerMutate(data, size, most);
  case 1:
    at[0] = (uint8_t)(seed >> 24) % OPERATIONS;
    return size;
  case 2:
    at[1] = (uint8_t)(seed >> 24);
    return size;
  case 3:
    memmove(at, at + whole, size - whole - (size_t)(at - data));
    return size - whole;
  case 4:
    return repeat(data, size, most, at, whole, to);
  case 5:
    return mutate_body(data, size, most, at, whole, false);
  default:
    return mutate_body(data, size, most, at, whole, true);
  }
}
