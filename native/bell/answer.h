/* answer.h: what the bridge answered, as an exit status and a line on stderr. */
#ifndef BELLADONNA_BELL_ANSWER_H
#define BELLADONNA_BELL_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../wire.h"

/* Exit statuses of our own (docs/reference/exit-status.md). */
enum bell_status {
  BELL_TIME_LIMIT = 124,
  BELL_NOT_STARTED = 125,
  BELL_NOT_EXECUTABLE = 126,
  BELL_NO_SUCH_ACTION = 127,
};

#define ANSWER_MAX_PROBLEM 4096u
#define ANSWER_MAX_BODY (4u + ANSWER_MAX_PROBLEM)
#define ANSWER_MAX_TICKET 256u

struct answer {
  size_t size; /* bytes received so far */
  uint8_t frame[sizeof(struct wire_head) + ANSWER_MAX_BODY];
};

enum answer_state { ANSWER_PARTIAL, ANSWER_WHOLE, ANSWER_MALFORMED, ANSWER_TERMINAL };

/* Says whether the frame is whole. A wrong kind or size is refused as soon as its bytes are there. */
enum answer_state look_at_answer(const struct answer *answer);

/* Takes a TERMINAL frame, which comes before the answer, out of what was received, and returns its number. */
uint32_t take_terminal(struct answer *answer);

/* Reports a whole answer on stderr (as one line of JSON if `json`) and returns the exit status. Trusts nothing in it.
 */
int report_answer(const struct answer *answer, bool json);

/* Reports what went wrong on our side: `what` is our own word for --json; `error` an errno, or 0. Returns 125. */
int report_failure(const char *what, const char *words, int error, bool json);

#endif
