/* spare.c: a process that was cloned ahead for a run that nobody has asked for yet. The launcher's half is spawn.c. */
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "sandbox.h"

bool take_prepare(struct cursor *body, struct wire_prepare *frame, struct start *start, struct wire_plan *plan) {
  struct wire_command command = {0};
  *start = (struct start){.template = -1, .keys = -1};
  if (!take_into(body, frame, sizeof *frame)) return false;
  const uint8_t *plan_bytes = take(body, frame->plan_size), *command_bytes = take(body, frame->command_size);
  if (body->bad || (size_t)(body->end - body->at) != frame->proxy_size) return false;
  start->plan = (struct cursor){.at = plan_bytes, .end = plan_bytes + frame->plan_size};
  start->command = (struct cursor){.at = command_bytes, .end = command_bytes + frame->command_size};
  start->input_count = frame->input_count;
  if (frame->command_size >= sizeof command) memcpy(&command, command_bytes, sizeof command);
  start->binds = command.bind_count != 0;
  return frame->input_count <= WIRE_MAX_INPUTS && plan_head(&start->plan, plan) &&
         (plan->namespaces & RUN_NAMESPACES) == RUN_NAMESPACES;
}

static uint8_t bytes[WIRE_MAX_FRAME];

/* false: end of file, or not a PREPARE. */
static bool receive_prepare(struct start *start, struct wire_plan *plan, uint32_t *command_size) {
  struct wire_prepare frame;
  int fds[STDIO + 2];
  size_t count = STDIO + 2;
  ssize_t size = receive_descriptors(GATE, bytes, sizeof bytes, fds, &count);
  struct cursor body = {.at = bytes, .end = bytes + (size < 0 ? 0 : size)};
  if (!take_prepare(&body, &frame, start, plan)) return false;
  *command_size = frame.command_size;
  size_t passed = frame.command_size == 0 ? 0 : 3 + start->input_count;
  if (count < passed) return false;
  memcpy(start->stdio, fds, sizeof start->stdio);
  for (int i = 2; i >= 0 && plan->output_max != 0 && passed > 0; i--)
    if (isatty(fds[i])) child.shown = fds[i];
  if (child.shown >= 0 && count > passed) child.keys = fds[--count]; /* the launcher saw the same terminal */
  if (count > passed) start->template = fds[passed];
  return true;
}

/* A plan without a command: what is built ahead is for just these bytes. */
static bool be_shaped(struct start *start, struct wire_plan *plan, uint32_t *command_size) {
  static uint8_t shape[WIRE_MAX_FRAME];
  const size_t head = sizeof(struct wire_prepare) + sizeof *plan;
  size_t size = (size_t)(start->plan.end - start->plan.at);
  if (start->template <0) return false;
  child.reports = false; /* nobody has asked for it */
  memcpy(shape, bytes, head + size);
  sandbox_shape(start, plan);
  child.reports = true;
  if (!receive_prepare(start, plan, command_size) || (size_t)(start->plan.end - start->plan.at) != size) return false;
  return memcmp(bytes + head - sizeof *plan, shape + head - sizeof *plan, sizeof *plan + size) == 0;
}

_Noreturn void wait_for_start(int gate) {
  struct wire_plan plan;
  uint32_t command_size = 0;
  struct start start;
  child_begin(gate, -1);
  /* What is the same whatever will be asked for. */
  if (unshare(CLONE_NEWCGROUP) != 0) child_fail(WIRE_STAGE_CGROUP);
  if ((host.features & WIRE_FEATURE_SESSION_KEYRING) != 0 && !join_keyring()) child_fail(WIRE_STAGE_CLONE);
  /* A unit may be protected from the kernel's want of memory; its runs are not. Raising needs no right, and what cannot
   * be lowered makes a run only the first to go. */
  if (host.adjusted) (void)write_text(AT_FDCWD, "/proc/self/oom_score_adj", "0");
  if (host.privileged) child_bounding(host.kept);
  if (host.privileged) child.proc = child_proc();
  if (!receive_prepare(&start, &plan, &command_size)) _exit(125);
  if (command_size == 0 && (!be_shaped(&start, &plan, &command_size) || command_size == 0)) _exit(125);
  take_stdio(&start, &plan);
  sandbox_enter(&start, &plan);
}
