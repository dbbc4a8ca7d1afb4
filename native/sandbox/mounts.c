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

#include "sandbox.h"

static int old_root, new_root;

bool is_of_new_proc(const struct entry *entry) {
  return entry->op == WIRE_MOUNT_BIND && strncmp(entry->source, "/proc/", 6) == 0;
}

static int open_below(int root, const char *path, uint64_t flags) {
  struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
  while (*path == '/') path++;
  how.resolve |= root == new_root ? RESOLVE_IN_ROOT : RESOLVE_BENEATH;
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
  int fd = open_below(new_root, parent, O_PATH | O_DIRECTORY);
  if (fd < 0) child_fail(WIRE_STAGE_MOUNT);
  return fd;
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

int child_proc(void) {
  return new_file_system("proc", NULL, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

static void attach(int tree, int target) {
  if (syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0)
    child_fail(WIRE_STAGE_MOUNT);
  close(target);
  close(tree);
}

/* Opens the place to mount on. It is made if it is missing: a directory, or an empty file for anything else. */
static int place_for(const char *target, bool directory) {
  const char *name;
  int place = open_below(new_root, target, O_PATH | O_NOFOLLOW);
  if (place >= 0) return place;
  if (errno != ENOENT) child_fail(WIRE_STAGE_MOUNT);
  int parent = open_parent(target, &name);
  int made = directory ? mkdirat(parent, name, 0755) : mknodat(parent, name, S_IFREG | 0444, 0);
  if (made != 0 && errno != EEXIST) child_fail(WIRE_STAGE_MOUNT);
  close(parent);
  place = open_below(new_root, target, O_PATH | O_NOFOLLOW);
  if (place < 0) child_fail(WIRE_STAGE_MOUNT);
  return place;
}

/*
 * A detached copy of an entry's source, with the entry's rights. -1: an optional source that is not there.
 * A source in /proc means the new /proc: the host's would show other processes.
 */
static int clone_source(const struct entry *entry, struct stat *st, const struct wire_stamp *stamp) {
  bool of_new_proc = is_of_new_proc(entry);
  int source = open_below(of_new_proc ? new_root : old_root, entry->source, O_PATH | O_NOFOLLOW);
  if (source < 0 && errno == ENOENT && (entry->flags & WIRE_MOUNT_OPTIONAL) != 0) return -1;
  if (source < 0 || fstat(source, st) != 0) child_fail(WIRE_STAGE_MOUNT);
  if (stamp != NULL) same_stat(st, stamp, (entry->flags & WIRE_BIND_LIVE) != 0);
  if (stamp != NULL && (entry->flags & WIRE_BIND_SINGLE) != 0 && S_ISREG(st->st_mode) && st->st_nlink != 1)
    child_refuse(WIRE_STAGE_MOUNT, EMLINK);
  if (entry->op == WIRE_MOUNT_DEVICE && !S_ISCHR(st->st_mode)) child_refuse(WIRE_STAGE_MOUNT, ENODEV);
  int tree = (int)syscall(SYS_open_tree, source, "",
                          AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | (unsigned)OPEN_TREE_CLOEXEC);
  /* Private, or where the host's mounts are shared its later ones would appear in here, and ours there. */
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NOSUID, .propagation = MS_PRIVATE};
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
  int tree = clone_source(entry, &st, NULL);
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

/* A devpts is an instance of its own, whoever mounts it. Its ptmx has mode 0: of all who come later, none can open it.
 */
static void make_terminal(const struct entry *entry) {
  char path[sizeof entry->target + 5];
  attach(new_file_system("devpts", NULL, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC), place_for(entry->target, true));
  snprintf(path, sizeof path, "%s/ptmx", entry->target);
  terminal_open(open_below(new_root, path, O_RDWR | O_NOCTTY | O_NONBLOCK));
}

static void apply(const struct entry *entry) {
  switch (entry->op) {
  case WIRE_MOUNT_TMPFS:
    attach(new_file_system("tmpfs", entry->source, entry->mode, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV),
           place_for(entry->target, true));
    return;
  case WIRE_MOUNT_PROC:
    attach(child.proc >= 0 ? child.proc : child_proc(), place_for(entry->target, true));
    child.proc = -1;
    return;
  case WIRE_MOUNT_BIND:
  case WIRE_MOUNT_DEVICE:
    bind_source(entry);
    return;
  case WIRE_MOUNT_SYMLINK:
  case WIRE_MOUNT_DIRECTORY:
    make(entry);
    return;
  case WIRE_MOUNT_DEVPTS:
    if (child.keys >= 0) make_terminal(entry);
    return;
  default:
    child_refuse(WIRE_STAGE_MOUNT, EBADMSG);
  }
}

bool take_entry(struct cursor *c, struct entry *entry) {
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
    if (!take_entry(c, &entry)) child_refuse(WIRE_STAGE_MOUNT, EBADMSG);
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

/* ---- what one run alone sees of the host: a script, a file that a parameter names ---- */

static struct {
  int tree;
  bool directory;
  uint8_t flags;
  struct wire_stamp stamp;
  char target[4096];
} binds[MAX_BINDS];

/* While the old root is still there: each source must be the file that the executor looked at. */
static void open_binds(struct cursor c) {
  static struct entry entry;
  for (uint16_t i = 0; i < child.command.bind_count; i++) {
    struct stat st;
    entry.op = WIRE_MOUNT_BIND;
    entry.flags = binds[i].flags = take_u8(&c);
    (void)take_into(&c, &binds[i].stamp, sizeof binds[i].stamp);
    take_text(&c, take_u16(&c), entry.source, sizeof entry.source);
    take_text(&c, take_u16(&c), binds[i].target, sizeof binds[i].target);
    child.bound[i] = (struct bound){.fd = -1, .access = take_u64(&c)};
    if (c.bad || is_of_new_proc(&entry)) child_refuse(WIRE_STAGE_MOUNT, EBADMSG);
    binds[i].tree = clone_source(&entry, &st, &binds[i].stamp);
    binds[i].directory = S_ISDIR(st.st_mode);
  }
  if (c.at != c.end) child_refuse(WIRE_STAGE_MOUNT, EBADMSG);
}

/* What lies between a tmpfs of the run's own and a place in it; what is there already stays as it is. */
static void make_parents(char *target) {
  for (char *slash = strchr(target + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = 0;
    close(place_for(target, true));
    *slash = '/';
  }
}

static void attach_binds(void) {
  for (uint16_t i = 0; i < child.command.bind_count; i++) {
    make_parents(binds[i].target);
    attach(binds[i].tree, place_for(binds[i].target, binds[i].directory));
    if (child.bound[i].access != 0) child.bound[i].fd = open_below(new_root, binds[i].target, O_PATH | O_NOFOLLOW);
  }
}

/* Step 10, behind the seccomp program, hence by a call that each has. A mount in a tree of the host moves with what it
 * lies on: who may rename that could have put another file at its path while the run waited. */
void binds_in_place(void) {
  for (uint16_t i = 0; i < child.command.bind_count; i++) {
    struct stat st;
    if (lstat(binds[i].target, &st) != 0 && errno == EACCES) continue; /* nor can the command reach it */
    if (lstat(binds[i].target, &st) != 0) child_fail(WIRE_STAGE_EXECUTABLE);
    same_stat(&st, &binds[i].stamp, (binds[i].flags & WIRE_BIND_LIVE) != 0);
  }
}

void child_mounts(struct cursor *c, const struct wire_plan *plan, int template) {
  umask(0); /* the plan says every mode; its own umask comes with the limits */
  if ((plan->namespaces & WIRE_NS_MOUNT) == 0) {
    if (plan->mount_count != 0) child_refuse(WIRE_STAGE_MOUNT, EBADMSG);
    return;
  }
  if (template >= 0) {
    old_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    open_binds(child.binds);
    if (setns(template, CLONE_NEWNS) != 0 || unshare(CLONE_NEWNS) != 0) child_fail(WIRE_STAGE_MOUNT);
    new_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (new_root < 0) child_fail(WIRE_STAGE_MOUNT);
    apply_entries(c, plan, WIRE_MOUNT_OWN);
    attach_binds();
  } else {
    begin_root();
    open_binds(child.binds);
    apply_entries(c, plan, -1);
    attach_binds();
    leave_old_root();
  }
}

/* In a process of its own: builds, says so, and waits to be let go. */
_Noreturn void child_template(struct cursor mounts, const struct wire_plan *plan, int channel) {
  umask(0);
  begin_root();
  apply_entries(&mounts, plan, 0);
  leave_old_root();
  char byte = 0;
  if (write(channel, &byte, 1) == 1) (void)!read(channel, &byte, 1);
  _exit(0);
}
