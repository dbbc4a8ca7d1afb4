/*
 * cgroup.c: the cgroups of runs. Each run has a cgroup v2 directory of its own, to be ended by; its limits stand there
 * if this host hands out controllers, and otherwise in the v1 hierarchies for pids and memory.
 *
 * In v1 a process can be put into a cgroup by moving it only, which holds the kernel's lock on all cgroups until every
 * processor has passed by (4 ms seen). So that is done once for a pair of v1 directories, a "seat": a process of ours
 * sits in it and clones the first processes of the runs, one at a time (spawn.c).
 *
 * Trusted: cgroupfs as the kernel shows it. Only directories that we made are written to or removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "launcher.h"

static const char *paths[3]; /* unified, pids, memory; NULL: not ours */
static uint32_t next_serial = 1;
static const char controllers[] = "+pids +memory";
static bool has_leaf;
struct seat seats[SEATS + 1];
#define MOST_LEFT (512u * 1024) /* of memory in a seat, ours too, for its next run: a profile gives 1 MiB or more */
static struct {
  bool made, killed;
  int unified, counts[2], usage; /* its v2 directory, files of `count_names`, memory's usage; 0: not open */
  uint32_t pids;
  uint64_t memory;
} places[SEATS]; /* a seat's directories, and what stands in them now */
static const char *const count_names[] = {"\noom_kill ", "\nmax "};

/* A directory of our own, at `place`. */
static bool open_own(const char *path, int which, int place) {
  if (path[0] == 0 || mkdir(path, 0755) != 0) return false;
  paths[which] = path;
  int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
  bool placed = fd >= 0 && dup3(fd, place, O_CLOEXEC) == place;
  if (fd >= 0) close(fd);
  return placed;
}

/*
 * Lets our v2 directory's children have limits. The kernel hands controllers only to children of a cgroup without
 * processes, so the launcher, which is alone so far, moves from the one that is above ours into a leaf. Root does so
 * only where systemd's mark, which only root can set, says that what is above was given to us to divide (Delegate=yes):
 * otherwise it is somebody else's. Without privileges the kernel lets us write where we may. `inside`: what is above is
 * the cgroup that we are in.
 */
static bool hand_down(bool inside) {
  char path[32], mark = 0;
  if (write_text(CGROUP, "cgroup.subtree_control", controllers) == 0) return true;
  if (!inside) return false;
  snprintf(path, sizeof path, "/proc/self/fd/%d/..", CGROUP);
  if (host.privileged && (getxattr(path, "trusted.delegate", &mark, 1) != 1 || mark != '1')) return false;
  has_leaf = mkdirat(CGROUP, "launcher", 0755) == 0;
  return has_leaf && write_text(CGROUP, "launcher/cgroup.procs", "0") == 0 &&
         write_text(CGROUP, "../cgroup.subtree_control", controllers) == 0 &&
         write_text(CGROUP, "cgroup.subtree_control", controllers) == 0;
}

void cgroups_open(bool inside, const char *unified, const char *pids, const char *memory) {
  if (open_own(unified, 0, CGROUP)) {
    host.has_cgroup = true;
    if (faccessat(CGROUP, "cgroup.kill", W_OK, 0) == 0) host.features |= WIRE_FEATURE_CGROUP_KILL;
    if (hand_down(inside)) host.features |= WIRE_FEATURE_CGROUP_LIMITS;
  }
  if ((host.features & WIRE_FEATURE_CGROUP_LIMITS) != 0) return;
  host.has_v1 = open_own(pids, 1, PIDS) && open_own(memory, 2, MEMORY);
  if (host.has_v1) host.features |= WIRE_FEATURE_CGROUP_LIMITS;
}

void cgroups_close(void) {
  char name[32];
  if (has_leaf) { /* back to where we began, or our directory could not go */
    (void)write_text(CGROUP, "cgroup.subtree_control", "-pids -memory");
    (void)write_text(CGROUP, "../cgroup.subtree_control", "-pids -memory");
    (void)write_text(CGROUP, "../cgroup.procs", "0");
    (void)unlinkat(CGROUP, "launcher", AT_REMOVEDIR);
  }
  for (int seat = 0; seat < (int)SEATS; seat++) {
    snprintf(name, sizeof name, "run-%d", seat); /* one that was not made whole too */
    for (int place = CGROUP; place <= MEMORY; place++) (void)unlinkat(place, name, AT_REMOVEDIR);
  }
  for (int i = 0; i < 3; i++)
    if (paths[i] != NULL) (void)rmdir(paths[i]);
}

static int open_in(int place, uint32_t run, const char *file) {
  char path[48];
  snprintf(path, sizeof path, "run-%u/%s", run, file);
  return openat(place, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

static bool make_seat(int seat) {
  char name[32];
  places[seat].made = false;
  snprintf(name, sizeof name, "run-%d", seat);
  for (int place = host.has_cgroup ? CGROUP : PIDS; place <= MEMORY; place++)
    if (mkdirat(place, name, 0755) != 0 && errno != EEXIST) return false; /* it was not made whole before */
  if (host.has_cgroup && places[seat].unified <= 0) places[seat].unified = open_in(CGROUP, (uint32_t)seat, "");
  if (places[seat].unified < 0) return false;
  if (places[seat].counts[0] <= 0) places[seat].counts[0] = open_in(MEMORY, (uint32_t)seat, "memory.oom_control");
  if (places[seat].usage <= 0) places[seat].usage = open_in(MEMORY, (uint32_t)seat, "memory.usage_in_bytes");
  if (places[seat].counts[1] <= 0) places[seat].counts[1] = open_in(PIDS, (uint32_t)seat, "pids.events");
  return places[seat].made = true;
}

/* Its directories serve one run after another: when the first process of a run is gone, so are all others, for they are
 * in its pid namespace. Only a v2 directory that was killed is not used again: Linux 6.15 and later may kill at once
 * what is cloned into it. Nor are those of v1 in which memory is left. */
static bool take_seat(struct group *group) {
  int seat = 0;
  while (seat < (int)SEATS && seats[seat].taken) seat++;
  if (seat == (int)SEATS || (!places[seat].made && !make_seat(seat))) return false;
  seats[seat].taken = true;
  group->seat = seat;
  group->fd = host.has_cgroup ? places[seat].unified : -1;
  return true;
}

bool group_make(struct group *group) {
  char name[32];
  *group = (struct group){.fd = -1, .seat = -1, .serial = next_serial++};
  if (host.has_v1) return take_seat(group);
  if (!host.has_cgroup) return true;
  snprintf(name, sizeof name, "run-%u", group->serial);
  if (mkdirat(CGROUP, name, 0755) != 0) return false;
  if ((group->fd = open_in(CGROUP, group->serial, "")) < 0) (void)unlinkat(CGROUP, name, AT_REMOVEDIR);
  /* memory.max alone lets a run fill the host's swap. Not there: the host counts no swap. */
  if (group->fd >= 0) (void)write_text(group->fd, "memory.swap.max", "0");
  return group->fd >= 0;
}

/* In the seat's process. 0 means the process that writes. */
bool seat_join(int seat) {
  char path[48];
  snprintf(path, sizeof path, "run-%d/cgroup.procs", seat);
  return write_text(PIDS, path, "0") == 0 && write_text(MEMORY, path, "0") == 0;
}

/* 0: no limit. */
static bool write_limit(int directory, const char *name, uint64_t value, const char *none) {
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  return write_text(directory, name, value == 0 ? none : text) == 0;
}

static bool limit_seat(int seat, uint32_t pids, uint64_t memory) {
  char name[64];
  if (places[seat].pids == pids && places[seat].memory == memory) return true;
  snprintf(name, sizeof name, "run-%d/pids.max", seat);
  bool limited = write_limit(PIDS, name, pids, "max");
  snprintf(name, sizeof name, "run-%d/memory.limit_in_bytes", seat);
  limited = limited && write_limit(MEMORY, name, memory, "-1");
  places[seat].pids = limited ? pids : 0;
  places[seat].memory = limited ? memory : UINT64_MAX; /* nobody knows */
  return limited;
}

static bool read_count(int fd, const char *name, uint64_t *count) {
  char text[512] = "\n";
  const char *found = pread(fd, text + 1, sizeof text - 2, 0) <= 0 ? NULL : strstr(text, name);
  if (found != NULL) *count = strtoull(found + strlen(name), NULL, 10);
  return found != NULL;
}

/* How many of its processes the kernel killed for want of memory, and how many more it did not let start. */
static bool read_counts(const struct group *group, uint64_t *counts) {
  static const char *const files[] = {"memory.events", "pids.events"};
  bool known = true;
  for (int i = 0; i < 2; i++) {
    bool seated = group->seat >= 0;
    int fd = seated ? places[group->seat].counts[i] : openat(group->fd, files[i], O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    known = read_count(fd, count_names[i], &counts[i]) && known;
    if (!seated && fd >= 0) close(fd);
  }
  return known;
}

uint16_t group_hits(const struct group *group) {
  uint64_t now[2];
  if ((host.features & WIRE_FEATURE_CGROUP_LIMITS) == 0 || !read_counts(group, now)) return 0;
  return WIRE_LIMIT_SEEN | (now[0] > group->counts[0] ? WIRE_LIMIT_MEMORY : 0) |
         (now[1] > group->counts[1] ? WIRE_LIMIT_PROCESSES : 0);
}

bool group_limit(struct group *group, const struct wire_plan *plan) {
  if ((host.features & WIRE_FEATURE_CGROUP_LIMITS) == 0) return true;
  uint32_t pids = plan->pids_max == 0 ? 0 : plan->pids_max + 1; /* a run's first process is ours */
  if (group->seat >= 0)
    return limit_seat(group->seat, pids == 0 ? 0 : pids + 1, plan->memory_max) && read_counts(group, group->counts);
  return write_limit(group->fd, "pids.max", pids, "max") &&
         write_limit(group->fd, "memory.max", plan->memory_max, "max");
}

void group_kill(const struct group *group) {
  if (group->seat >= 0) places[group->seat].killed = true;
  if (group->fd >= 0) (void)write_text(group->fd, "cgroup.kill", "1");
}

/* Files of a file system in memory, or what was sent to somebody, outlive the run that made them: the next run would
 * have less memory by as much, and be killed for it. What is removed leaves it to the cgroup above, without a limit.
 * What the kernel can take back, or has not yet reckoned up, it lets go of where the limit would be too small for it.
 */
static bool holds_memory(int seat, const char *name) {
  char path[64];
  uint64_t left;
  if (read_count(places[seat].usage, "\n", &left) && left < MOST_LEFT) return false;
  snprintf(path, sizeof path, "%s/memory.limit_in_bytes", name);
  bool fits = write_limit(MEMORY, path, MOST_LEFT, "-1") || write_limit(MEMORY, path, MOST_LEFT, "-1");
  if (fits && write_limit(MEMORY, path, places[seat].memory, "-1")) return false;
  process_discard(&seats[seat].process);
  close_fd(&places[seat].usage);
  close_fd(&places[seat].counts[0]);
  (void)unlinkat(MEMORY, name, AT_REMOVEDIR);
  places[seat].memory = UINT64_MAX;
  return true;
}

void group_remove(struct group *group) {
  char name[32];
  const int seat = group->seat;
  const bool again = seat >= 0 && !places[seat].killed;
  if (seat >= 0) seats[seat].taken = places[seat].killed = false;
  snprintf(name, sizeof name, "run-%u", seat >= 0 ? (uint32_t)seat : group->serial);
  if (group->fd >= 0 && !again) {
    close(group->fd);
    if (unlinkat(CGROUP, name, AT_REMOVEDIR) != 0) note("a run's cgroup could not be removed");
    if (seat >= 0) places[seat].unified = 0;
  }
  if (seat >= 0 && (holds_memory(seat, name) || !again)) (void)make_seat(seat);
  group->seat = group->fd = -1;
}
