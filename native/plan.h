/*
 * plan.h: PLAN and COMMAND, the bytes of which a run is made. spec/plan.md is the normative text; what holds of
 * integers and strings in wire.h holds here, and test/native/wire-layout.test.ts compares both.
 */
#ifndef BELLADONNA_PLAN_H
#define BELLADONNA_PLAN_H

#include "wire.h"

/*
 * PLAN: what a profile allows, as bytes. The launcher applies it in the order of the fields and reads nothing else.
 * struct wire_plan, struct wire_rlimit[rlimit_count], then mount_count times (u8 op, u8 flags, u16 mode, str16 source,
 * str16 target), landlock_path_count times (u64 access, str16 path in the new root), landlock_port_count times (u64
 * access, u16 port), seccomp_count times the kernel's 8-byte struct sock_filter.
 */
struct wire_plan {
  uint32_t version;
  uint32_t namespaces;     /* enum wire_namespace */
  uint64_t capabilities;   /* bit n = capability n stays, in all five sets */
  uint64_t landlock_scope; /* LANDLOCK_SCOPE_* bits, in force where the ABI has them; so with the next two */
  uint64_t landlock_fs;    /* LANDLOCK_ACCESS_FS_* bits that are refused unless a rule allows them */
  uint64_t landlock_net;   /* LANDLOCK_ACCESS_NET_* bits, likewise */
  uint64_t memory_max;     /* bytes, 0 = none; cgroup memory.max where the controller is there */
  uint64_t output_max;     /* bytes of stdout and stderr together, through a relay; 0 = the client's own descriptors */
  uint32_t pids_max;       /* 0 = none; cgroup pids.max where the controller is there */
  uint32_t time_limit_ms;  /* 0 = none */
  uint32_t umask;
  uint32_t flags; /* enum wire_plan_flag */
  uint16_t rlimit_count;
  uint16_t mount_count;
  uint16_t seccomp_count;
  uint16_t landlock_path_count;
  uint16_t landlock_port_count;
  uint16_t zero;
  uint32_t features; /* enum wire_feature: what is asked for, and in force where the host has it */
};

enum wire_namespace {
  WIRE_NS_PID = 1u << 0,
  WIRE_NS_MOUNT = 1u << 1,
  WIRE_NS_IPC = 1u << 2,
  WIRE_NS_UTS = 1u << 3,
  WIRE_NS_NETWORK = 1u << 4,     /* an empty network namespace: own, or the shared one where that is safe */
  WIRE_NS_NETWORK_OWN = 1u << 5, /* with WIRE_NS_NETWORK: never the shared one */
  WIRE_NS_CGROUP = 1u << 6,
  WIRE_NS_LOOPBACK = 1u << 7, /* bring lo up; needs WIRE_NS_NETWORK_OWN */
};

enum wire_plan_flag {
  WIRE_PLAN_STDIN_NULL = 1u << 0, /* the command reads /dev/null whatever the client passed */
  WIRE_PLAN_NO_EXEC = 1u << 1,    /* services: no execve after their own start, and no new process */
  WIRE_PLAN_PROXIED = 1u << 3,    /* nothing of this plan runs without its proxy */
  WIRE_PLAN_RECORDED = 1u << 4,   /* nor without its recording; needs output_max */
};

struct wire_rlimit {
  uint32_t resource;
  uint32_t zero;
  uint64_t soft;
  uint64_t hard;
};

/* `source` is a real path of the host: no component of it is followed if it is a link. `target` is below the new root.
 */
enum wire_mount {
  WIRE_MOUNT_TMPFS = 1, /* mode = permission bits; source = size in bytes as decimal text */
  WIRE_MOUNT_BIND = 2,  /* flags: enum wire_mount_flag */
  WIRE_MOUNT_PROC = 3,
  WIRE_MOUNT_DEVICE = 4,  /* a character device of the host, bound onto a file */
  WIRE_MOUNT_SYMLINK = 5, /* source = the link's text */
  WIRE_MOUNT_DIRECTORY = 6,
  WIRE_MOUNT_DEVPTS = 7, /* made only for a run with a terminal of its own, which is then the one in it */
};

enum wire_mount_flag {
  WIRE_MOUNT_WRITABLE = 1u << 0,
  WIRE_MOUNT_OPTIONAL = 1u << 1, /* absent on this host: leave it out */
  WIRE_MOUNT_EXEC = 1u << 2,     /* without it MOUNT_ATTR_NOEXEC */
  WIRE_MOUNT_OWN = 1u << 3,      /* made for each run; what has it not is the same for all runs of a plan */
};

/* Which file somebody looked at: st_dev, st_ino, st_size, st_mtim, st_ctim. Of a directory the first two count. */
struct wire_stamp {
  uint64_t device;
  uint64_t inode;
  uint64_t size;
  uint64_t mtime_ns;
  uint64_t ctime_ns;
};

enum wire_bind_flag {
  WIRE_BIND_LIVE = 1u << 4,   /* its content may change meanwhile: of the stamp only device and inode count */
  WIRE_BIND_SINGLE = 1u << 5, /* a regular file must have one name only */
};

/*
 * COMMAND: struct wire_command, struct wire_stamp of the executable that was hashed, then u32 groups[group_count],
 * str16 executable, str16 cwd, argc times blob32, envc times blob32 ("NAME=value"), and bind_count times what this run
 * alone sees of the host: u8 flags (enum wire_mount_flag, enum wire_bind_flag), struct wire_stamp, str16 source, str16
 * target, u64 LANDLOCK_ACCESS_FS_* bits.
 */
struct wire_command {
  uint32_t uid;
  uint32_t gid;
  uint16_t group_count;
  uint16_t argc;
  uint16_t envc;
  uint16_t bind_count;
};

#endif
