/*
 * child.c: a PREPARE's body as the sandbox's half reads it: plan, command, entries, rules, limits, filter. It must end
 * in an orderly way whatever the bytes are, and if it comes as far as exec, then with every step of sandbox.c behind
 * it.
 *
 * Input: struct options, struct wire_prepare, plan, command.
 */
#include <string.h>

#include "../launcher/launcher.h"
#include "../sandbox/first-process.c"
#include "kernel.h"
#include "mutate.h"

struct options {
  uint8_t flags; /* 1: privileged, 2: a template is there, 4: a service, 8: exec is seen from the vforked child,
                    16: it gets a terminal of its own */
  uint8_t kind;  /* what fstat(2) says; from 0x10 on: which of 0 to 2 are terminals */
  uint16_t failing;
};

static struct wire_plan plan;
const struct process no_process = {.pidfd = -1, .gate = -1};

/* What else a nursery starts is not for here. */
uint32_t service_namespaces(uint32_t name) { return name; }
_Noreturn void service_child(enum service_name name, int gate, int inherit) { fuzz_exit((int)name + gate + inherit); }
_Noreturn void template_begin(struct cursor plan, int gate) { fuzz_exit((int)(plan.end - plan.at) + gate); }

static void check_exec(void) {
  uint32_t wanted = STEP_NO_NEW_PRIVS | STEP_SECCOMP | STEP_STAMP;
  if (host.privileged) wanted |= STEP_GROUPS;
  if (host.privileged || !child.service) wanted |= STEP_GID | STEP_UID | STEP_CAPABILITIES;
  if (!child.service) wanted |= STEP_GATE;
  if ((plan.namespaces & WIRE_NS_MOUNT) != 0 && !child.service) wanted |= STEP_ROOT;
  if ((plan.landlock_scope & 3) != 0) wanted |= STEP_LANDLOCK;
  CLAIM((kernel.steps & wanted) == wanted);
  CLAIM(child.argv[0] != NULL);
  CLAIM(child.keys < 0 || child.terminal >= 0);
  for (size_t i = 0; i < child.command.argc; i++) CLAIM(strlen(child.argv[i]) < WIRE_MAX_FRAME);
  CLAIM(child.argv[child.command.argc] == NULL && child.envp[child.command.envc] == NULL);
}

static void begin(const struct options *options, struct start *start) {
  static const uint16_t kinds[] = {S_IFREG, S_IFDIR, S_IFCHR, S_IFIFO};
  int keys = (options->flags & 20) == 16 ? GATE : -1;
  child = (struct child){
      .proc = -1, .reports = true, .service = (options->flags & 4) != 0, .shown = keys, .keys = keys, .terminal = -1};
  exec_errno = 0;
  start->service = child.service;
  start->makes_peer = (options->kind & 8) != 0;
  kernel.steps = kernel.calls = 0;
  kernel.child = kernel.running = true;
  kernel.failing = options->failing;
  kernel.kind = kinds[options->kind & 3];
  kernel.terminals = options->kind >> 4;
  kernel.is_vforked = (options->flags & 8) != 0;
  kernel.stamp = &child.stamp;
  kernel.at_exec = check_exec;
  host.privileged = (options->flags & 1) != 0;
  host.has_network = true;
  host.landlock = (struct landlock_ruleset){0xffff, 3, 3};
  for (int i = 0; i < RLIM_NLIMITS; i++) host.limits[i] = (struct rlimit){RLIM_INFINITY, RLIM_INFINITY};
  if ((options->flags & 2) != 0) {
    start->template = NULL_DEVICE;
    kernel.steps |= STEP_ROOT;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct options options;
  struct wire_prepare frame;
  struct start start;
  if (size < sizeof options) return 0;
  memcpy(&options, data, sizeof options);
  struct cursor body = {.at = data + sizeof options, .end = data + size};
  if (setjmp(kernel.end) == 0 && take_prepare(&body, &frame, &start, &plan)) {
    begin(&options, &start);
    take_stdio(&start, &plan);
    sandbox_enter(&start, &plan);
  }
  kernel.running = false;
  return 0;
}

/* Changes plan or command, and says both sizes as they then are. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed) {
  const size_t head = sizeof(struct options) + sizeof(struct wire_prepare);
  struct wire_prepare frame;
  if (size < head || seed % 16 == 0) return LLVMFuzzerMutate(data, size, most);
  memcpy(&frame, data + sizeof(struct options), sizeof frame);
  size_t body = size - head, plan_size = frame.plan_size < body ? frame.plan_size : body;
  if (seed % 16 == 1) {
    (void)LLVMFuzzerMutate(data, sizeof(struct options), sizeof(struct options));
  } else if (seed % 2 == 0) {
    size = mutate_part(data, size, most, head, plan_size, &plan_size);
  } else {
    size_t command_size = body - plan_size;
    size = mutate_part(data, size, most, head + plan_size, command_size, &command_size);
  }
  frame.plan_size = (uint32_t)plan_size;
  frame.command_size = (uint32_t)(size - head - plan_size);
  memcpy(data + sizeof(struct options), &frame, sizeof frame);
  return size;
}
