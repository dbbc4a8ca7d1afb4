/* messages.h: the form of session.c's inputs, which messages.c keeps while it mutates them. */
#ifndef BELLADONNA_FUZZ_MESSAGES_H
#define BELLADONNA_FUZZ_MESSAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum operation {
  CONNECT, /* argument % 7 descriptors come with the first bytes; 0x20: stdin and inputs are sealed; 0x40: the others
              are a terminal; 0x80: no service is there */
  CLIENT_SAYS,   /* argument: which slot; its upper three bits: how many descriptors come along */
  EXECUTOR_SAYS, /* an odd argument, here and in the next: no relay comes */
  BROKER_SAYS,
  CLIENT_GONE,
  DEADLINE,
  REPORT, /* of a run's first process */
  EXIT,
  PROXY, /* an odd argument: it can be used; else it has ended */
  RELAY_SAYS,
  SIGNAL,
  RESTART,
  OPERATIONS
};

struct message {
  uint8_t operation, argument;
  uint16_t size;
  const uint8_t *bytes;
};

bool next_message(const uint8_t **data, size_t *size, struct message *message);

#endif
