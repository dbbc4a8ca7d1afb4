/* spare.c: a process that was cloned ahead for a run that nobody has asked for yet. The launcher's half is spawn.c. */
#include <sched.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "sandbox.h"

bool take_prepare(struct cursor *body, struct wire_prepare *frame, struct start *start, struct wire_plan *plan) {
  *start = (struct start){.bootstrap = -1, .inherit = -1, .template = -1, .keys = -1, .gate = -1};
  const uint8_t *bytes = take(body, sizeof *frame);
  if (bytes == NULL) return false;
  memcpy(frame, bytes, sizeof *frame);
  const uint8_t *plan_bytes = take(body, frame->plan_size), *command_bytes = take(body, frame->command_size);
  if (body->bad || body->at != body->end) return false;
  start->plan = (struct cursor){.at = plan_bytes, .end = plan_bytes + frame->plan_size};
  start->command = (struct cursor){.at = command_bytes, .end = command_bytes + frame->command_size};
  start->input_count = frame->input_count;
  return frame->input_count <= WIRE_MAX_INPUTS && plan_head(&start->plan, plan) &&
         (plan->namespaces & RUN_NAMESPACES) == RUN_NAMESPACES;
}

_Noreturn void wait_for_start(int gate) {
  static uint8_t bytes[WIRE_MAX_FRAME];
  int fds[STDIO + 2];
  size_t count = STDIO + 2;
  struct wire_prepare frame;
  struct wire_plan plan;
  struct start start = {.gate = gate, .template = -1, .bootstrap = -1, .inherit = -1};
  child_begin(&start);
  /* What is the same whatever will be asked for. */
  if (unshare(CLONE_NEWCGROUP) != 0) child_fail(WIRE_STAGE_CGROUP);
  if (host.privileged) child_bounding(host.kept);
  if (host.privileged) child.proc = child_proc();
  ssize_t size = receive_descriptors(GATE, bytes, sizeof bytes, fds, &count);
  struct cursor body = {.at = bytes, .end = bytes + (size < 0 ? 0 : size)};
  if (!take_prepare(&body, &frame, &start, &plan) || count < 3 + start.input_count) _exit(125);
  memcpy(start.stdio, fds, sizeof start.stdio);
  for (int i = 2; i >= 0 && plan.output_max != 0; i--)
    if (isatty(fds[i])) child.shown = fds[i];
  if (child.shown >= 0) child.keys = fds[--count]; /* the launcher saw the same terminal */
  if (count > 3 + start.input_count) start.template = fds[3 + start.input_count];
  take_stdio(&start, &plan);
  sandbox_enter(&start, &plan);
}
