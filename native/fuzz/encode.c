/*
 * encode.c: bell's encoder, for test/fuzz/request-target.ts, which compares it with the one in TypeScript. Reads
 * requests, a line each, of words in hex: action, reason, pairs. Writes frames in hex, or the number of the fault.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bell/request.h"

static char line[8 * WIRE_MAX_REQUEST], text[8 * WIRE_MAX_REQUEST];

/* Undoes the hex of a word, in `at`, and ends it with NUL. Returns the place behind it. */
static char *put_word(char *at, const char *word) {
  unsigned byte;
  for (; sscanf(word, "%2x", &byte) == 1; word += 2) *at++ = (char)byte;
  *at = 0;
  return at + 1;
}

int main(void) {
  static struct request request;
  static char *words[REQUEST_MAX_PARAMETERS + 4];
  while (fgets(line, sizeof line, stdin) != NULL) {
    size_t count = 0;
    char *end = text;
    for (char *word = strtok(line, " \n"); word != NULL && count < REQUEST_MAX_PARAMETERS + 3;
         word = strtok(NULL, " \n")) {
      words[count++] = end;
      end = put_word(end, word + 1); /* after the dot, so that an empty word is one too */
    }
    if (count < 2) continue;
    words[count] = NULL;
    enum request_fault fault = format_request(&request, words[0], words[1], words + 2, false);
    if (fault != REQUEST_OK) printf("fault %d", (int)fault);
    for (size_t i = 0; fault == REQUEST_OK && i < request.size; i++) printf("%02x", request.frame[i]);
    printf("\n");
  }
  return 0;
}
