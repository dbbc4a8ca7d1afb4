/*
 * kernel.h: kernel interfaces newer than Debian 12's headers (Linux 6.1). Values are from the uapi headers of 6.18.
 */
#ifndef BELLADONNA_KERNEL_H
#define BELLADONNA_KERNEL_H

#include <stdint.h>

/* include/uapi/asm-generic/socket.h, Linux 6.5 */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

/* include/uapi/linux/prctl.h, Linux 6.4 */
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#endif

/* include/uapi/linux/sched/types.h: the first version of the struct; `runtime` of SCHED_OTHER is a slice since 6.12 */
struct sched_attributes {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
#ifndef SCHED_FLAG_RESET_ON_FORK
#define SCHED_FLAG_RESET_ON_FORK 0x01
#endif

/* include/uapi/linux/landlock.h: the whole struct as of ABI 6, Linux 6.12 */
struct landlock_ruleset {
  uint64_t handled_access_fs;
  uint64_t handled_access_net;
  uint64_t scoped;
};
struct landlock_path_rule {
  uint64_t allowed_access;
  int32_t parent_fd;
} __attribute__((packed));
struct landlock_port_rule {
  uint64_t allowed_access;
  uint64_t port;
};
#define LANDLOCK_RULE_PATH 1
#define LANDLOCK_RULE_PORT 2
#define LANDLOCK_CREATE_RULESET_VERSION 1u
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1u << 0)
#define LANDLOCK_SCOPE_SIGNAL (1u << 1)

#endif
