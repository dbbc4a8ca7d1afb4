/*
 * mounts.c: step 3 of sandbox.c. Builds the new root from the plan, by descriptor, and leaves the old one.
 *
 * Sources are real paths: no component may be a link (RESOLVE_NO_SYMLINKS), so a link that somebody puts in the way
 * while we work is an error and never followed (C32). Targets are resolved below the new root, links refused too.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/mount.h>
#include <linux/openat2.h>

#include "launcher.h"

struct entry {
  uint8_t op, flags;
  uint16_t mode;
  char source[4096], target[4096];
};

static int old_root, new_root;

static bool is_of_new_proc(const struct entry *entry) {
  return entry->op == WIRE_MOUNT_BIND && strncmp(entry->source, "/proc/", 6) == 0;
}

static int open_below(int root, const char *path, uint64_t flags) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  while (*path == '/') path++;
  if (root == new_root) how.resolve |= RESOLVE_IN_ROOT;
  return (int)syscall(SYS_openat2, root, *path == 0 ? "." : path, &how, sizeof how);
}

/* The directory that holds `target`, and its last component in `name`. */
static int open_parent(const char *target, const char **name) {
  char parent[4096];
  const char *slash = strrchr(target, '/');
  size_t size = slash == NULL ? 0 : (size_t)(slash - target);
  *name = slash == NULL ? target : slash + 1;
  memcpy(parent, target, size);
  parent[size] = 0;
  return open_below(new_root, parent, O_PATH | O_DIRECTORY);
}

/* A new file system of its own: tmpfs or proc. */
static int new_file_system(const char *type, const char *size, uint16_t mode, uint32_t attributes) {
  char octal[8];
  int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (context < 0) child_fail(WIRE_STAGE_MOUNT);
  if (size != NULL) {
    snprintf(octal, sizeof octal, "%o", mode & 07777u);
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "size", size, 0) != 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", octal, 0) != 0)
      child_fail(WIRE_STAGE_MOUNT);
  }
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) child_fail(WIRE_STAGE_MOUNT);
  int tree = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
  if (tree < 0) child_fail(WIRE_STAGE_MOUNT);
  close(context);
  return tree;
}

static void attach(int tree, int target) {
  if (target < 0 ||
      syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    child_fail(WIRE_STAGE_MOUNT);
  close(target);
  close(tree);
}

/* Opens the place to mount on. It is made if it is missing: a directory, or an empty file for anything else. */
static int place_for(const char *target, bool directory) {
  const char *name;
  int place = open_below(new_root, target, O_PATH | O_NOFOLLOW);
  if (place >= 0 || errno != ENOENT) return place;
  int parent = open_parent(target, &name);
  if (parent < 0) child_fail(WIRE_STAGE_MOUNT);
  int made = directory ? mkdirat(parent, name, 0755) : mknodat(parent, name, S_IFREG | 0444, 0);
  if (made != 0 && errno != EEXIST) child_fail(WIRE_STAGE_MOUNT);
  close(parent);
  return open_below(new_root, target, O_PATH | O_NOFOLLOW);
}

/*
 * A detached copy of an entry's source, with the entry's rights. -1: an optional source that is not there.
 * A source in /proc means the new /proc: the host's would show other processes.
 */
static int clone_source(const struct entry *entry, struct stat *st) {
  bool of_new_proc = is_of_new_proc(entry);
  int source = open_below(of_new_proc ? new_root : old_root, entry->source, O_PATH | O_NOFOLLOW);
  if (source < 0 && errno == ENOENT && (entry->flags & WIRE_MOUNT_OPTIONAL) != 0) return -1;
  if (source < 0 || fstat(source, st) != 0) child_fail(WIRE_STAGE_MOUNT);
  if (entry->op == WIRE_MOUNT_DEVICE && !S_ISCHR(st->st_mode)) {
    errno = ENODEV;
    child_fail(WIRE_STAGE_MOUNT);
  }
  int tree = (int)syscall(SYS_open_tree, source, "",
                          AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | (unsigned)OPEN_TREE_CLOEXEC);
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID};
  bool writable = (entry->flags & WIRE_MOUNT_WRITABLE) != 0;
  if (entry->op == WIRE_MOUNT_BIND) attributes.attr_set |= MOUNT_ATTR_NODEV | (writable ? 0 : MOUNT_ATTR_RDONLY);
  if ((entry->flags & WIRE_MOUNT_EXEC) == 0) attributes.attr_set |= MOUNT_ATTR_NOEXEC;
  if (of_new_proc && writable) attributes.attr_clr = MOUNT_ATTR_RDONLY;
  if (tree < 0 ||
      syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) != 0)
    child_fail(WIRE_STAGE_MOUNT);
  close(source);
  return tree;
}

static void bind_source(const struct entry *entry) {
  struct stat st;
  int tree = clone_source(entry, &st);
  if (tree >= 0) attach(tree, place_for(entry->target, S_ISDIR(st.st_mode)));
}

/* A link or a directory of the new root. */
static void make(const struct entry *entry) {
  const char *name;
  int parent = open_parent(entry->target, &name);
  int made = entry->op == WIRE_MOUNT_SYMLINK ? symlinkat(entry->source, parent, name)
                                             : mkdirat(parent, name, entry->mode & 07777u);
  if (made != 0 && (entry->op == WIRE_MOUNT_SYMLINK || errno != EEXIST)) child_fail(WIRE_STAGE_MOUNT);
  close(parent);
}

static void apply(const struct entry *entry) {
  switch (entry->op) {
  case WIRE_MOUNT_TMPFS:
    attach(new_file_system("tmpfs", entry->source, entry->mode, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV),
           place_for(entry->target, true));
    if (strcmp(entry->target, "/tmp") == 0) child_report.features |= WIRE_FEATURE_PRIVATE_TMP;
    return;
  case WIRE_MOUNT_PROC:
    attach(new_file_system("proc", NULL, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC),
           place_for(entry->target, true));
    return;
  case WIRE_MOUNT_BIND:
  case WIRE_MOUNT_DEVICE:
    bind_source(entry);
    return;
  case WIRE_MOUNT_SYMLINK:
  case WIRE_MOUNT_DIRECTORY:
    make(entry);
    return;
  default:
    errno = EBADMSG;
    child_fail(WIRE_STAGE_MOUNT);
  }
}

/* Reads the next entry of a plan. */
static void take_entry(struct cursor *c, struct entry *entry) {
  entry->op = take_u8(c);
  entry->flags = take_u8(c);
  entry->mode = take_u16(c);
  take_text(c, take_u16(c), entry->source, sizeof entry->source);
  take_text(c, take_u16(c), entry->target, sizeof entry->target);
  if (c->bad) {
    errno = EBADMSG;
    child_fail(WIRE_STAGE_MOUNT);
  }
}

/* An empty root of our own to build in. Nothing that happens in here reaches the host, and the reverse. */
static void begin_root(void) {
  if (unshare(CLONE_NEWNS) != 0) child_fail(WIRE_STAGE_MOUNT);
  old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  new_root = new_file_system("tmpfs", "1048576", 0755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
  /* It must be mounted somewhere to be pivoted to. The host's /proc is the one tree that no source lies in. */
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || old_root < 0 ||
      syscall(SYS_move_mount, new_root, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) != 0)
    child_fail(WIRE_STAGE_MOUNT);
}

/* The old root is stacked below the new one for a moment and then let go; nothing of it stays reachable. */
static void leave_old_root(void) {
  struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
  if (syscall(SYS_mount_setattr, new_root, "", AT_EMPTY_PATH, &read_only, sizeof read_only) != 0 ||
      fchdir(new_root) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0 ||
      chdir("/") != 0)
    child_fail(WIRE_STAGE_MOUNT);
}

/* ---- templates: what no run changes is built once for each plan ---- */

/*
 * Each run gets an own copy of the template's namespace, and in it an own /proc, own tmpfs file systems, and files as
 * they are now: a file may have been replaced by rename since. Of a directory what is in it is always as it is now;
 * that it is still the same directory is compared (`sources`), and if not, the run builds everything for itself.
 */
struct template {
  int fd; /* the mount namespace, -1: it could not be made */
  uint64_t sources;
  size_t size;
  uint8_t plan[16384];
};

static struct template templates[16];
static struct {
  int fd; /* what this run binds out of the host; -1: the template has it */
  bool directory;
} trees[512];

/* What lies below a file system that each run has for itself is the run's too. Parents come first in a plan. */
static char own_target[4096];

static bool is_of_each_run(const struct entry *entry, const struct stat *st) {
  size_t size = strlen(own_target);
  if (size > 0 && strncmp(entry->target, own_target, size) == 0 && entry->target[size] == '/') return true;
  if (entry->op == WIRE_MOUNT_TMPFS) snprintf(own_target, sizeof own_target, "%s", entry->target);
  if (entry->op == WIRE_MOUNT_TMPFS || entry->op == WIRE_MOUNT_PROC) return true;
  return entry->op == WIRE_MOUNT_BIND && (is_of_new_proc(entry) || !S_ISDIR(st->st_mode));
}

/* Type and identity of an entry's source on the host; all zeros for what has none, or is not there. */
static uint64_t look_at_source(const struct entry *entry, struct stat *st) {
  memset(st, 0, sizeof *st);
  if (entry->op != WIRE_MOUNT_BIND || is_of_new_proc(entry)) return 0;
  int source = open_below(old_root, entry->source, O_PATH | O_NOFOLLOW);
  bool known = source >= 0 && fstat(source, st) == 0;
  if (source >= 0) close(source);
  return known && S_ISDIR(st->st_mode) ? (st->st_dev * 1000003u ^ st->st_ino) * 0x9e3779b97f4a7c15u : 0;
}

/* In a process of its own: builds, says so with the identity of its sources, and waits to be let go. */
static _Noreturn void build_template(struct cursor c, const struct wire_plan *plan, int channel) {
  static struct entry entry;
  struct stat st;
  uint64_t sources = 0;
  umask(0);
  begin_root();
  for (uint16_t i = 0; i < plan->mount_count; i++) {
    take_entry(&c, &entry);
    sources = sources * 31 + look_at_source(&entry, &st);
    if (!is_of_each_run(&entry, &st))
      apply(&entry);
    else if (!is_of_new_proc(&entry))
      close(place_for(entry.target, entry.op != WIRE_MOUNT_BIND));
  }
  leave_old_root();
  if (write(channel, &sources, sizeof sources) == (ssize_t)sizeof sources) (void)!read(channel, &sources, 1);
  _exit(0);
}

static void make_template(struct template *template, struct cursor c, const struct wire_plan *plan) {
  int channel[2];
  char path[64];
  template->fd = -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) return;
  pid_t pid = fork();
  if (pid == 0 && close(channel[0]) == 0) build_template(c, plan, channel[1]); /* our end alone lets it go */
  close(channel[1]);
  if (pid > 0 && read(channel[0], &template->sources, sizeof template->sources) == sizeof template->sources) {
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
    template->fd = open(path, O_RDONLY | O_CLOEXEC);
  }
  close(channel[0]);
  if (pid > 0) waitpid(pid, NULL, 0);
}

const struct template *template_for(const struct cursor *rest, const struct wire_plan *plan) {
  size_t size = (size_t)(rest->end - rest->at);
  struct cursor mounts = *rest;
  if (!host.privileged || (plan->namespaces & WIRE_NS_MOUNT) == 0 || size > sizeof templates[0].plan) return NULL;
  for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) {
    struct template *template = &templates[i];
    if (template->size == size && memcmp(template->plan, rest->at, size) == 0) return template;
    if (template->size != 0) continue;
    memcpy(template->plan, rest->at, size);
    template->size = size;
    (void)take(&mounts, plan->rlimit_count * sizeof(struct wire_rlimit));
    make_template(template, mounts, plan);
    return template;
  }
  return NULL; /* more profiles than templates: those build for themselves */
}

int template_fd(const struct template *template) { return template == NULL ? -1 : template->fd; }

/* Takes from the host what is of this run. false: a directory is another one than when the template was made. */
static bool take_sources(struct cursor c, const struct wire_plan *plan, const struct template *template) {
  static struct entry entry;
  struct stat st;
  uint64_t sources = 0;
  for (uint16_t i = 0; i < plan->mount_count; i++) {
    take_entry(&c, &entry);
    sources = sources * 31 + look_at_source(&entry, &st);
    bool of_host = entry.op == WIRE_MOUNT_BIND && !is_of_new_proc(&entry);
    bool of_run = is_of_each_run(&entry, &st);
    trees[i].fd = of_host && of_run ? clone_source(&entry, &st) : -1;
    trees[i].directory = S_ISDIR(st.st_mode);
  }
  return sources == template->sources;
}

static void enter_template(struct cursor *c, const struct wire_plan *plan) {
  static struct entry entry;
  struct stat none = {0};
  if (setns(TEMPLATE, CLONE_NEWNS) != 0 || unshare(CLONE_NEWNS) != 0) child_fail(WIRE_STAGE_MOUNT);
  new_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (new_root < 0) child_fail(WIRE_STAGE_MOUNT);
  for (uint16_t i = 0; i < plan->mount_count; i++) {
    take_entry(c, &entry);
    bool of_run = is_of_each_run(&entry, &none);
    if (trees[i].fd >= 0)
      attach(trees[i].fd, place_for(entry.target, trees[i].directory));
    else if (of_run && (entry.op != WIRE_MOUNT_BIND || is_of_new_proc(&entry)))
      apply(&entry);
  }
}

void child_mounts(struct cursor *c, const struct wire_plan *plan, const struct template *template) {
  static struct entry entry;
  umask(0); /* the plan says every mode; its own umask comes with the limits */
  if ((plan->namespaces & WIRE_NS_MOUNT) == 0) {
    if (plan->mount_count == 0) return;
    errno = EBADMSG;
    child_fail(WIRE_STAGE_MOUNT);
  }
  child_report.features |= WIRE_FEATURE_MOUNT_NAMESPACE | WIRE_FEATURE_ROOT_READ_ONLY;
  old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (template != NULL && template->fd >= 0 && take_sources(*c, plan, template)) {
    enter_template(c, plan);
  } else {
    begin_root();
    for (uint16_t i = 0; i < plan->mount_count; i++) {
      take_entry(c, &entry);
      apply(&entry);
    }
    leave_old_root();
  }
  close(old_root);
  close(new_root);
}
