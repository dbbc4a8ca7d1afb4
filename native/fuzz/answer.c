/*
 * answer.c: the bridge's answer as bell reads it, and what may come before it. What is not received is poisoned; what
 * goes to stderr is one line of printable text (C60); a refusal never comes out as 0. Input: one byte of options, then
 * the frame.
 */
#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define write(fd, bytes, size) keep(bytes, size)
static ssize_t keep(const void *bytes, size_t size);
#include "../bell/answer.c"
#undef take
#include "../bell/text.c"
#undef write

static uint8_t output[16 * ANSWER_MAX_BODY];
static size_t output_size;

static ssize_t keep(const void *bytes, size_t size) {
  if (size > sizeof output - output_size) abort();
  memcpy(output + output_size, bytes, size);
  output_size += size;
  return (ssize_t)size;
}

static void check_output(void) {
  for (size_t i = 0; i < output_size; i++) {
    bool last = i == output_size - 1 && output[i] == '\n';
    bool control = output[i] < 0x20 || output[i] == 0x7f || (i > 0 && output[i - 1] == 0xc2 && output[i] < 0xa0);
    if (!last && control) {
      fprintf(stderr, "C60: byte %zu of the output is %02x\n", i, output[i]);
      abort();
    }
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static struct answer answer;
  if (size < 1 || size - 1 > sizeof answer.frame) return 0;
  ASAN_UNPOISON_MEMORY_REGION(answer.frame, sizeof answer.frame);
  answer.size = size - 1;
  memcpy(answer.frame, data + 1, answer.size);
  ASAN_POISON_MEMORY_REGION(answer.frame + answer.size, sizeof answer.frame - answer.size);
  output_size = 0;
  enum answer_state state;
  while ((state = look_at_answer(&answer)) == ANSWER_TERMINAL) (void)take_terminal(&answer);
  if (state != ANSWER_WHOLE) return 0;
  int status = report_answer(&answer, (data[0] & 1) != 0);
  if (status < 0 || status > 255 || (answer.frame[4] == 0x81 && (status < 124 || status > 127))) abort();
  check_output();
  return 0;
}

/* Keeps the frame's size true, most of the time. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed) {
  size = LLVMFuzzerMutate(data, size, most);
  size_t head = 1 + sizeof(struct wire_head);
  if (size < head || seed % 8 == 0) return size;
  if (seed % 8 == 1 && size + 12 <= most) { /* a TERMINAL before it */
    const uint8_t frame[12] = {4, 0, 0, 0, WIRE_TERMINAL & 0xff, WIRE_TERMINAL >> 8, 0, 0, 20, 0, 0, 0};
    memmove(data + 13, data + 1, size - 1);
    memcpy(data + 1, frame, sizeof frame);
    return size + sizeof frame;
  }
  uint32_t body = (uint32_t)(size - head), kind = seed % 2 == 0 ? WIRE_REFUSED : WIRE_ENDED;
  const uint8_t bytes[8] = {(uint8_t)body, (uint8_t)(body >> 8), 0, 0, (uint8_t)kind, (uint8_t)(kind >> 8), 0, 0};
  memcpy(data + 1, bytes, sizeof bytes);
  if (kind == WIRE_ENDED && body >= sizeof(struct wire_ended)) {
    body -= (uint32_t)sizeof(struct wire_ended);
    const uint8_t ticket[4] = {(uint8_t)body, (uint8_t)(body >> 8), 0, 0};
    memcpy(data + head + 12, ticket, sizeof ticket);
  }
  return size;
}
