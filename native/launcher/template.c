/*
 * template.c: roots that are ready but for what each run makes for itself (the entries with WIRE_MOUNT_OWN).
 *
 * One for each plan, made by a child that ends at once; what is kept is its mount namespace.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher.h"

/* Of a directory what is in it is always as it is now. That each source is still the same file is compared before each
 * run (`identity_of_sources`), and every change of our mount table drops all templates (`templates_drop`). */
static struct template templates[16];

static void make_template(struct template *template, struct cursor whole) {
  struct process process;
  char path[64], byte;
  if (!child_start(&process, A_TEMPLATE, -1, whole)) return;
  if (recv(process.gate, &byte, 1, 0) == 1) {
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)process.pid);
    template->fd = open(path, O_RDONLY | O_CLOEXEC);
  }
  process_discard(&process);
}

_Noreturn void template_begin(struct cursor c, int gate) {
  struct wire_plan plan;
  if (!plan_head(&c, &plan)) _exit(125);
  (void)take(&c, plan.rlimit_count * sizeof(struct wire_rlimit));
  child_template(c, &plan, gate);
}

/* Which files the sources are now. 0: not a plan for a template, since a run has something of the host for itself. */
static uint64_t identity_of_sources(struct cursor mounts, const struct wire_plan *plan) {
  static struct entry entry;
  uint64_t identity = 1;
  for (uint16_t i = 0; i < plan->mount_count; i++) {
    struct stat st = {0};
    if (!take_entry(&mounts, &entry)) return 0;
    bool of_host = (entry.op == WIRE_MOUNT_BIND || entry.op == WIRE_MOUNT_DEVICE) && !is_of_new_proc(&entry);
    if (of_host && (entry.flags & WIRE_MOUNT_OWN) != 0) return 0;
    if (of_host) (void)lstat(entry.source, &st);
    identity = (identity ^ (st.st_dev * 1000003u ^ st.st_ino)) * 0x9e3779b97f4a7c15u | 1u;
  }
  return identity;
}

static void drop(struct template *template) {
  if (template->size > 0 && template->fd >= 0) close(template->fd);
  template->size = template->serial = 0;
}

void templates_drop(void) {
  for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) drop(&templates[i]);
  spares_reshape();
}

const struct template *template_for(struct cursor rest, const struct wire_plan *plan) {
  static size_t oldest;
  static uint32_t next_serial = 1;
  const uint8_t *bytes = rest.at - sizeof *plan; /* its head is in front of it */
  const struct cursor whole = {bytes, rest.end, false};
  size_t size = (size_t)(rest.end - bytes), at = 0;
  if (!host.privileged || (plan->namespaces & WIRE_NS_MOUNT) == 0 || size > sizeof templates[0].plan) return NULL;
  (void)take(&rest, plan->rlimit_count * sizeof(struct wire_rlimit));
  uint64_t sources = identity_of_sources(rest, plan);
  if (sources == 0) return NULL;
  while (at < 16 && (templates[at].size != size || memcmp(templates[at].plan, bytes, size) != 0)) at++;
  if (at < 16 && templates[at].sources == sources) return &templates[at];
  struct template *template = &templates[at < 16 ? at : oldest++ % 16];
  drop(template);
  memcpy(template->plan, bytes, size);
  template->size = size;
  template->sources = sources;
  template->serial = next_serial++;
  template->fd = -1;
  make_template(template, whole);
  return template;
}
