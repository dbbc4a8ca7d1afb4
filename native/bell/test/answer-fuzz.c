/*
 * answer-fuzz ROUNDS SEED: mutated answers through answer.c, built with AddressSanitizer. What is not received is
 * poisoned; what goes to stderr must be one line of printable text (C60); a refusal must not come out as 0.
 */
#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../answer.h"

static uint64_t state;

static uint32_t draw(uint32_t below) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(state >> 33) % below;
}

static size_t put_sample(uint8_t *frame) {
  static const char *const problems[] = {
      "{\"code\":\"not_granted\",\"entry\":12,\"title\":\"not permitted\",\"type\":\"about:blank\"}",
      "{\"code\":\"parameter_invalid\",\"enough\":\"one of \\\"a\\\"\",\"parameter\":\"p\",\"title\":\"t\\u001b\"}",
      "{\"a\":[{\"b\":\"]\"},[],1.5e3],\"code\":\"x\",\"title\":\"\xc3\xa4\xc2\x9b\xe2\x80\xae\xf0\x9d\x84\x9e\"}",
  };
  static const char ticket[] = "{\"action_digest\":\"00ff\",\"entry\":3,\"receipt\":\"aa\"}";
  memset(frame, 0, 64);
  if (draw(2) == 0) {
    const char *problem = problems[draw(3)];
    frame[0] = (uint8_t)(4 + strlen(problem));
    memcpy(frame + 4, "\x81\x01", 2);
    frame[8] = (uint8_t)(120 + draw(10));
    memcpy(frame + 12, problem, strlen(problem));
    return 12 + strlen(problem);
  }
  const uint32_t word = draw(2) == 0 ? 0 : sizeof(struct wire_output);
  frame[0] = (uint8_t)(16 + sizeof ticket - 1 + word);
  memcpy(frame + 4, "\x82\x01", 2);
  frame[8] = (uint8_t)draw(8);
  frame[12] = (uint8_t)draw(70);
  frame[16] = (uint8_t)draw(14);
  frame[20] = sizeof ticket - 1;
  memcpy(frame + 24, ticket, sizeof ticket - 1);
  memset(frame + 24 + sizeof ticket - 1, 0, word);
  frame[24 + sizeof ticket - 1] = WIRE_VERSION;
  frame[24 + sizeof ticket - 1 + 4] = (uint8_t)draw(4);
  frame[24 + sizeof ticket - 1 + 8 + draw(8)] = word == 0 ? 0 : (uint8_t)draw(256);
  return 24 + sizeof ticket - 1 + word;
}

static void check_output(int log, const struct answer *answer) {
  static uint8_t bytes[8 * ANSWER_MAX_BODY];
  ssize_t size = pread(log, bytes, sizeof bytes, 0);
  for (ssize_t i = 0; i < size; i++) {
    bool last = i == size - 1 && bytes[i] == '\n';
    bool control = bytes[i] < 0x20 || bytes[i] == 0x7f || (i > 0 && bytes[i - 1] == 0xc2 && bytes[i] < 0xa0);
    if (!last && control) {
      fprintf(stdout, "byte %zd of the output is %02x; the answer has %zu bytes\n", i, bytes[i], answer->size);
      abort();
    }
  }
  if (ftruncate(log, 0) != 0 || lseek(log, 0, SEEK_SET) != 0) abort();
}

int main(int argc, char **argv) {
  static struct answer answer;
  if (argc != 3) return 2;
  int log = memfd_create("stderr", 0);
  if (log < 0 || dup2(log, STDERR_FILENO) < 0) return 2;
  state = strtoull(argv[2], NULL, 10);
  size_t whole = 0;
  for (unsigned long rounds = strtoul(argv[1], NULL, 10); rounds > 0; rounds--) {
    ASAN_UNPOISON_MEMORY_REGION(answer.frame, sizeof answer.frame);
    answer.size = put_sample(answer.frame);
    for (uint32_t changes = draw(4); changes > 0; changes--) {
      answer.frame[draw((uint32_t)answer.size)] =
          draw(2) == 0 ? (uint8_t)draw(256) : (uint8_t) "\"\\{}[],:\x1b\x9b"[draw(10)];
    }
    ASAN_POISON_MEMORY_REGION(answer.frame + answer.size, sizeof answer.frame - answer.size);
    if (look_at_answer(&answer) == ANSWER_WHOLE) {
      int status = report_answer(&answer, draw(2) == 0);
      if (status < 0 || status > 255 || (answer.frame[4] == 0x81 && (status < 124 || status > 127))) abort();
      check_output(log, &answer);
      whole++;
    }
  }
  printf("%zu whole answers\n", whole);
  return whole == 0;
}
