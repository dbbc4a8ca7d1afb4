#include "answer.h"

#include <stddef.h>
#include <string.h>

#include "text.h"

struct slice {
  const uint8_t *at;
  size_t size;
};

static uint32_t get_little(const uint8_t *at, size_t size) {
  uint32_t number = 0;
  for (size_t i = 0; i < size; i++) number |= (uint32_t)at[i] << 8 * i;
  return number;
}

enum answer_state look_at_answer(const struct answer *answer) {
  size_t head = sizeof(struct wire_head);
  if (answer->size < head) return ANSWER_PARTIAL;
  size_t size = get_little(answer->frame, 4);
  uint32_t kind = get_little(answer->frame + 4, 2);
  bool terminal = kind == WIRE_TERMINAL && size == 4;
  bool sized = (kind == WIRE_REFUSED && size >= 4 && size <= ANSWER_MAX_BODY) ||
               (kind == WIRE_ENDED && size >= sizeof(struct wire_ended) &&
                size <= sizeof(struct wire_ended) + ANSWER_MAX_TICKET + sizeof(struct wire_output));
  if ((!sized && !terminal) || get_little(answer->frame + 6, 2) != 0) return ANSWER_MALFORMED;
  if (answer->size < head + size) return ANSWER_PARTIAL;
  return terminal ? ANSWER_TERMINAL : answer->size > head + size ? ANSWER_MALFORMED : ANSWER_WHOLE;
}

uint32_t take_terminal(struct answer *answer) {
  size_t whole = sizeof(struct wire_head) + 4;
  uint32_t number = get_little(answer->frame + sizeof(struct wire_head), 4);
  answer->size -= whole;
  memmove(answer->frame, answer->frame + whole, answer->size);
  return number;
}

/* The reader of JSON: members of one object without white space between tokens. Values that nobody asked for are
 * passed over, not judged: what is printed is escaped anyway. */

static bool take(struct slice *rest, uint8_t byte) {
  if (rest->size == 0 || rest->at[0] != byte) return false;
  rest->at++;
  rest->size--;
  return true;
}

static bool take_string(struct slice *rest) {
  if (!take(rest, '"')) return false;
  while (rest->size > 0) {
    if (take(rest, '"')) return true;
    if (rest->at[0] < 0x20) return false;
    size_t step = rest->at[0] == '\\' ? 2 : 1;
    if (step > rest->size) return false;
    rest->at += step;
    rest->size -= step;
  }
  return false;
}

static bool is_scalar(uint8_t byte) {
  return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || byte == '-' || byte == '+' || byte == '.' ||
         byte == 'E';
}

static bool take_nested(struct slice *rest) {
  size_t depth = 0;
  do {
    if (rest->size == 0) return false;
    uint8_t byte = rest->at[0];
    if (byte == '"') {
      if (!take_string(rest)) return false;
      continue;
    }
    if (byte == '{' || byte == '[') depth++;
    if (byte == '}' || byte == ']') depth--;
    (void)take(rest, byte);
  } while (depth > 0);
  return true;
}

static bool take_value(struct slice *rest, struct slice *value) {
  value->at = rest->at;
  if (rest->size == 0) return false;
  if (rest->at[0] == '"') {
    if (!take_string(rest)) return false;
  } else if (rest->at[0] == '{' || rest->at[0] == '[') {
    if (!take_nested(rest)) return false;
  } else {
    while (rest->size > 0 && is_scalar(rest->at[0])) (void)take(rest, rest->at[0]);
  }
  value->size = (size_t)(rest->at - value->at);
  return value->size > 0;
}

/* Fills values[i] with the raw value of the member names[i]; one that is missing stays empty, one that is there twice
 * spoils the whole. */
static bool read_members(struct slice rest, const char *const *names, struct slice *values, size_t count) {
  if (!take(&rest, '{')) return false;
  if (take(&rest, '}')) return rest.size == 0;
  do {
    struct slice name = {rest.at, 0};
    struct slice value;
    if (!take_string(&rest)) return false;
    name.size = (size_t)(rest.at - name.at);
    if (!take(&rest, ':') || !take_value(&rest, &value)) return false;
    for (size_t i = 0; i < count; i++) {
      if (name.size != strlen(names[i]) + 2 || memcmp(name.at + 1, names[i], name.size - 2) != 0) continue;
      if (values[i].size != 0) return false;
      values[i] = value;
    }
  } while (take(&rest, ','));
  return take(&rest, '}') && rest.size == 0;
}

static bool is_string(struct slice value) { return value.size >= 2 && value.at[0] == '"'; }

static bool is_number(struct slice value) {
  return value.size > 0 && value.size <= 20 && value.at[0] >= '0' && value.at[0] <= '9';
}

/* The string's text; of JSON's escapes \" and \\ are undone, the others are as good on a terminal as they are. */
static void put_string(struct slice value) {
  struct slice text = {value.at + 1, value.size - 2};
  while (text.size > 0) {
    size_t run = 0;
    while (run < text.size && text.at[run] != '\\') run++;
    text_put_foreign(text.at, run);
    if (run < text.size) {
      bool plain = text.at[run + 1] == '"' || text.at[run + 1] == '\\';
      text_put_foreign(text.at + run + (plain ? 1 : 0), plain ? 1 : 2);
      run += 2;
    }
    text.at += run;
    text.size -= run;
  }
}

static void put_member(const char *before, struct slice value) {
  if (!is_string(value)) return;
  text_put(before);
  put_string(value);
}

int report_failure(const char *what, const char *words, int error, bool json) {
  if (json) {
    text_put("{\"end\":\"");
    text_put(what);
    text_put("\",\"value\":");
    text_put_number((uint64_t)error);
    text_put("}\n");
  } else {
    text_put("bell: ");
    text_put(words);
    if (error != 0) {
      text_put(": ");
      text_put(strerror(error));
    }
    text_put("\n");
  }
  text_flush();
  return BELL_NOT_STARTED;
}

static int report_malformed(bool json) {
  return report_failure("malformed", "the bridge's answer is not of its form", 0, json);
}

static int report_refused(struct slice body, bool json) {
  enum { TITLE, CODE, RULE, PARAMETER, DETAIL, ENOUGH, ENTRY, ASK, COUNT };
  static const char *const names[COUNT] = {"title", "code", "rule", "parameter", "detail", "enough", "entry", "ask"};
  struct slice values[COUNT] = {0};
  struct slice problem = {body.at + 4, body.size - 4};
  uint32_t status = get_little(body.at, 4);
  if (!read_members(problem, names, values, COUNT) || !is_string(values[TITLE]) || !is_string(values[CODE])) {
    return report_malformed(json);
  }
  if (json) {
    text_put_foreign(problem.at, problem.size);
  } else {
    put_member("bell: ", values[TITLE]);
    put_member(": ", values[CODE]);
    put_member(", parameter ", values[PARAMETER]);
    if (!is_string(values[PARAMETER])) put_member(", rule ", values[RULE]); /* else it says the same */
    put_member(": ", values[DETAIL]);
    put_member(is_string(values[DETAIL]) ? "; enough: " : ": ", values[ENOUGH]);
    if (is_number(values[ENTRY])) {
      text_put(" (entry ");
      text_put_foreign(values[ENTRY].at, values[ENTRY].size);
      text_put(")");
    }
    put_member("; ask ", values[ASK]);
  }
  text_put("\n");
  text_flush();
  /* A refusal never looks like a command that ran: 0 above all. */
  return status >= BELL_TIME_LIMIT && status <= BELL_NO_SUCH_ACTION ? (int)status : BELL_NOT_STARTED;
}

static const char *const end_names[] = {"", "exited", "signalled", "timed_out", "failed", "gone", "lost"};

static const char *const stage_names[] = {
    "none",    "clone",      "cgroup", "network", "mount",    "limits", "identity",  "landlock",
    "seccomp", "executable", "exec",   "stdio",   "capacity", "proxy",  "recording",
};

/* How a run ended: enum wire_end, wire_stage and wire_limit. */
struct end {
  uint32_t kind, value, stage, limits;
};

static int status_of(const struct end *end) {
  bool not_executable = end->stage == WIRE_STAGE_EXECUTABLE || end->stage == WIRE_STAGE_EXEC;
  if (end->kind == WIRE_END_EXITED) return (int)end->value;
  if (end->kind == WIRE_END_SIGNALLED) return 128 + (int)end->value;
  if (end->kind == WIRE_END_TIMED_OUT) return BELL_TIME_LIMIT;
  return end->kind == WIRE_END_FAILED && not_executable ? BELL_NOT_EXECUTABLE : BELL_NOT_STARTED;
}

static const char *const limit_names[] = {"memory", "processes"};
static const char *const limit_words[] = {
    "the kernel killed a process of the run for want of memory",
    "the run could not start another process: it had as many as it may have",
};

static bool is_hit(const struct end *end, size_t limit) { return (end->limits & WIRE_LIMIT_MEMORY << limit) != 0; }

/* The lines of what there is to say about an end are one, with semicolons. */
static void put_more(bool *begun) {
  text_put(*begun ? "; " : "bell: ");
  *begun = true;
}

static void put_limits_json(const struct end *end) {
  if (!is_hit(end, 0) && !is_hit(end, 1)) return;
  text_put(",\"limits_hit\":[");
  for (size_t i = 0; i < 2; i++) {
    if (!is_hit(end, i)) continue;
    text_put(i == 1 && is_hit(end, 0) ? ",\"" : "\"");
    text_put(limit_names[i]);
    text_put("\"");
  }
  text_put("]");
}

static void put_end_words(const struct end *end, bool *begun) {
  static const char *const words[] = {
      [WIRE_END_TIMED_OUT] = "the time limit ran out, the command was killed",
      [WIRE_END_FAILED] = "the command was not started: ",
      [WIRE_END_GONE] = "the run was given up before the command started",
      [WIRE_END_LOST] = "a process of the bridge died, the command was killed",
  };
  static const char *const unrecorded = "its output could not be recorded any more, the command was killed";
  if (words[end->kind] == NULL) return;
  put_more(begun);
  text_put(end->kind == WIRE_END_LOST && end->stage == WIRE_STAGE_RECORDING ? unrecorded : words[end->kind]);
  if (end->kind != WIRE_END_FAILED) return;
  text_put(stage_names[end->stage]);
  text_put(": ");
  text_put(strerror((int)end->value));
}

/* What the run's relay says of its output, where it had one. */
struct output {
  bool told, whole; /* `whole`: it may be true */
  bool truncated, undelivered, terminal;
  uint64_t written[3], delivered[3]; /* of stdout, stderr and the run's own terminal */
};

static uint64_t get_count(const uint8_t *at) { return (uint64_t)get_little(at + 4, 4) << 32 | get_little(at, 4); }

static struct output read_output(struct slice word) {
  static const size_t streams[] = {offsetof(struct wire_output, out), offsetof(struct wire_output, err),
                                   offsetof(struct wire_output, terminal)};
  struct output output = {.told = word.size > 0};
  if (!output.told) return output;
  uint32_t flags = get_little(word.at + offsetof(struct wire_output, flags), 4);
  output.truncated = (flags & WIRE_OUTPUT_CAPPED) != 0;
  output.undelivered = (flags & WIRE_OUTPUT_UNDELIVERED) != 0;
  output.terminal = (flags & WIRE_OUTPUT_TERMINAL) != 0;
  output.whole = get_little(word.at, 4) == WIRE_VERSION &&
                 flags <= (WIRE_OUTPUT_CAPPED | WIRE_OUTPUT_UNDELIVERED | WIRE_OUTPUT_TERMINAL);
  for (size_t i = 0; i < 3; i++) {
    output.written[i] = get_count(word.at + streams[i] + offsetof(struct wire_stream, written));
    output.delivered[i] = get_count(word.at + streams[i] + offsetof(struct wire_stream, delivered));
    if (output.delivered[i] > output.written[i]) output.whole = false;
  }
  return output;
}

/* That a reader closed its end early needs no words: whoever did it knows. */
static void put_output_words(const struct output *output) {
  text_put("the output was cut off at the action's limit: ");
  text_put_number(output->delivered[0] + output->delivered[1] + output->delivered[2]);
  text_put(" of ");
  text_put_number(output->written[0] + output->written[1] + output->written[2]);
  text_put(" bytes were passed on");
}

static void put_stream_json(const char *name, uint64_t written, uint64_t delivered) {
  text_put(name);
  text_put(":{\"written\":");
  text_put_number(written);
  text_put(",\"delivered\":");
  text_put_number(delivered);
  text_put("}");
}

static void put_output_json(const struct output *output) {
  if (!output->told) return;
  if (!output->whole) {
    text_put(",\"output\":\"malformed\"");
    return;
  }
  text_put(output->truncated ? ",\"output\":{\"truncated\":true" : ",\"output\":{\"truncated\":false");
  text_put(output->undelivered ? ",\"undelivered\":true" : ",\"undelivered\":false");
  put_stream_json(",\"stdout\"", output->written[0], output->delivered[0]);
  put_stream_json(",\"stderr\"", output->written[1], output->delivered[1]);
  if (output->terminal) put_stream_json(",\"terminal\"", output->written[2], output->delivered[2]);
  text_put("}");
}

/* How the run ended stands, whatever its ticket and its relay's word look like. */
static void put_end_json(const struct end *end, struct slice ticket, const struct output *output) {
  static const char *const names[] = {"action_digest", "entry", "receipt"};
  struct slice values[3] = {0};
  bool whole = ticket.size == 0 || read_members(ticket, names, values, 3);
  text_put("{\"end\":\"");
  text_put(end_names[end->kind]);
  text_put("\",\"value\":");
  text_put_number(end->value);
  if (end->stage != WIRE_STAGE_NONE) {
    text_put(",\"stage\":\"");
    text_put(stage_names[end->stage]);
    text_put("\"");
  }
  for (size_t i = 0; whole && i < 3; i++) {
    if (values[i].size == 0) continue;
    text_put(",\"");
    text_put(names[i]);
    text_put("\":");
    text_put_foreign(values[i].at, values[i].size);
  }
  if (!whole) text_put(",\"ticket\":\"malformed\"");
  put_limits_json(end);
  put_output_json(output);
  text_put("}\n");
}

static void put_end(const struct end *end, const struct output *output) {
  bool begun = false;
  put_end_words(end, &begun);
  for (size_t i = 0; i < 2; i++) {
    if (!is_hit(end, i)) continue;
    put_more(&begun);
    text_put(limit_words[i]);
  }
  if (output->whole && output->truncated) {
    put_more(&begun);
    put_output_words(output);
  }
  if (begun) text_put("\n");
}

static bool is_end(const struct end *end) {
  uint32_t kind = end->kind;
  /* Linux has the signals 1..64 and errno values below 4096. */
  uint32_t least = kind == WIRE_END_SIGNALLED || kind == WIRE_END_FAILED ? 1 : 0;
  uint32_t most = kind == WIRE_END_EXITED ? 255 : kind == WIRE_END_SIGNALLED ? 64 : kind == WIRE_END_FAILED ? 4095 : 0;
  return kind >= WIRE_END_EXITED && kind <= WIRE_END_LOST && end->value >= least && end->value <= most &&
         end->stage <= WIRE_STAGE_RECORDING &&
         end->limits <= (uint32_t)(WIRE_LIMIT_SEEN | WIRE_LIMIT_MEMORY | WIRE_LIMIT_PROCESSES);
}

static int report_ended(struct slice body, bool json) {
  const struct end end = {get_little(body.at, 4), get_little(body.at + 4, 4), get_little(body.at + 8, 2),
                          get_little(body.at + 10, 2)};
  struct slice ticket = {body.at + sizeof(struct wire_ended), get_little(body.at + 12, 4)};
  size_t rest = body.size - sizeof(struct wire_ended);
  if (!is_end(&end) || ticket.size > ANSWER_MAX_TICKET ||
      (rest != ticket.size && rest != ticket.size + sizeof(struct wire_output)))
    return report_malformed(json);
  struct output output = read_output((struct slice){ticket.at + ticket.size, rest - ticket.size});
  if (json)
    put_end_json(&end, ticket, &output);
  else
    put_end(&end, &output);
  text_flush();
  return status_of(&end);
}

int report_answer(const struct answer *answer, bool json) {
  struct slice body = {answer->frame + sizeof(struct wire_head), answer->size - sizeof(struct wire_head)};
  bool refused = get_little(answer->frame + 4, 2) == WIRE_REFUSED;
  return refused ? report_refused(body, json) : report_ended(body, json);
}
