/*
 * mounts.c: step 3 of sandbox.c. Builds the new root from the plan, by descriptor, and leaves the old one.
 *
 * Sources are real paths: no component may be a link (RESOLVE_NO_SYMLINKS), so a link that somebody puts in the way
 * while we work is an error and never followed (C32). Targets are resolved below the new root, links refused too.
 *
 * What no run changes is built once for each plan, as a template: each run gets a copy of its namespace, and in it, by
 * the entries marked WIRE_MOUNT_OWN, a /proc and a /tmp of its own.
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

static bool take_entry(struct cursor *c, struct entry *entry) {
  entry->op = take_u8(c);
  entry->flags = take_u8(c);
  entry->mode = take_u16(c);
  take_text(c, take_u16(c), entry->source, sizeof entry->source);
  take_text(c, take_u16(c), entry->target, sizeof entry->target);
  return !c->bad;
}

/* The entries with the flag WIRE_MOUNT_OWN, those without it, or all (`wanted` < 0), in their order. */
static void apply_entries(struct cursor *c, const struct wire_plan *plan, int wanted) {
  static struct entry entry;
  for (uint16_t i = 0; i < plan->mount_count; i++) {
    if (!take_entry(c, &entry)) {
      errno = EBADMSG;
      child_fail(WIRE_STAGE_MOUNT);
    }
    if (wanted < 0 || (entry.flags & WIRE_MOUNT_OWN) == wanted) apply(&entry);
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

/* ---- templates ---- */

/* Of a directory what is in it is always as it is now. That each source is still the same file is compared before each
 * run (`identity_of_sources`), and every change of our mount table drops all templates (`templates_drop`). */
struct template {
  int fd; /* the mount namespace; -1: there is none, and each run builds for itself */
  uint64_t sources;
  size_t size; /* 0: free */
  uint8_t plan[16384];
};

static struct template templates[16];

/* In a process of its own: builds, says so, and waits to be let go. */
static _Noreturn void build_template(struct cursor mounts, const struct wire_plan *plan, int channel) {
  umask(0);
  begin_root();
  apply_entries(&mounts, plan, 0);
  leave_old_root();
  char byte = 0;
  if (write(channel, &byte, 1) == 1) (void)!read(channel, &byte, 1);
  _exit(0);
}

static void make_template(struct template *template, struct cursor mounts, const struct wire_plan *plan) {
  int channel[2];
  char path[64], byte;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) return;
  pid_t pid = fork();
  if (pid == 0 && close(channel[0]) == 0) build_template(mounts, plan, channel[1]); /* our end alone lets it go */
  close(channel[1]);
  if (pid > 0 && read(channel[0], &byte, 1) == 1) {
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
    template->fd = open(path, O_RDONLY | O_CLOEXEC);
  }
  close(channel[0]);
  if (pid > 0) waitpid(pid, NULL, 0);
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
  template->size = 0;
}

void templates_drop(void) {
  for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++) drop(&templates[i]);
}

int template_for(struct cursor rest, const struct wire_plan *plan) {
  static size_t oldest;
  size_t size = (size_t)(rest.end - rest.at), at = 0;
  const uint8_t *bytes = rest.at;
  if (!host.privileged || (plan->namespaces & WIRE_NS_MOUNT) == 0 || size > sizeof templates[0].plan) return -1;
  (void)take(&rest, plan->rlimit_count * sizeof(struct wire_rlimit));
  uint64_t sources = identity_of_sources(rest, plan);
  if (sources == 0) return -1;
  while (at < 16 && (templates[at].size != size || memcmp(templates[at].plan, bytes, size) != 0)) at++;
  if (at < 16 && templates[at].sources == sources) return templates[at].fd;
  struct template *template = &templates[at < 16 ? at : oldest++ % 16];
  drop(template);
  memcpy(template->plan, bytes, size);
  template->size = size;
  template->sources = sources;
  template->fd = -1;
  make_template(template, rest, plan);
  return template->fd;
}

void child_mounts(struct cursor *c, const struct wire_plan *plan, int template) {
  umask(0); /* the plan says every mode; its own umask comes with the limits */
  if ((plan->namespaces & WIRE_NS_MOUNT) == 0) {
    if (plan->mount_count == 0) return;
    errno = EBADMSG;
    child_fail(WIRE_STAGE_MOUNT);
  }
  if (template >= 0) {
    if (setns(template, CLONE_NEWNS) != 0 || unshare(CLONE_NEWNS) != 0) child_fail(WIRE_STAGE_MOUNT);
    new_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (new_root < 0) child_fail(WIRE_STAGE_MOUNT);
    apply_entries(c, plan, WIRE_MOUNT_OWN);
  } else {
    begin_root();
    apply_entries(c, plan, -1);
    leave_old_root();
  }
}
