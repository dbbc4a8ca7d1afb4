/* kernel.h: the small kernel that fuzz targets of launcher and sandbox run on (kernel.c), as the targets see it. */
#ifndef BELLADONNA_FUZZ_KERNEL_H
#define BELLADONNA_FUZZ_KERNEL_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A claim of ours that does not hold: libFuzzer keeps the input. */
#define CLAIM(what)                                                                                                    \
  do                                                                                                                   \
    if (!(what)) broken_claim(#what, __FILE__, __LINE__);                                                              \
  while (0)
_Noreturn void broken_claim(const char *what, const char *file, int line);

/* What a child has done so far; each bit is set by a call that succeeded. */
enum step {
  STEP_ROOT = 1u << 0, /* pivot_root, or a template entered */
  STEP_GROUPS = 1u << 1,
  STEP_GID = 1u << 2,
  STEP_UID = 1u << 3,
  STEP_CAPABILITIES = 1u << 4,
  STEP_NO_NEW_PRIVS = 1u << 5,
  STEP_LANDLOCK = 1u << 6,
  STEP_SECCOMP = 1u << 7,
  STEP_GATE = 1u << 8,
  STEP_STAMP = 1u << 9, /* a file was compared with its stamp after everything above */
};

#define MAX_PEERS 1024

/* One end of it is the launcher's: of a process that it had cloned. */
struct gate {
  int peer;      /* our copy of the other end */
  int end;       /* its number, until somebody is cloned to have it */
  uint32_t what; /* enum service_name and behind it: what was cloned */
  uint64_t kept, run;
};

struct kernel {
  bool child;        /* every descriptor is a number only */
  uint32_t steps;    /* enum step */
  uint32_t calls;    /* so far */
  uint32_t failing;  /* that call fails; 0: none */
  uint16_t kind;     /* S_IFMT of what is opened */
  uint8_t terminals; /* which of 0 to 2 are terminals */
  bool is_vforked;   /* vfork(2) goes on as the child */
  const void *stamp; /* struct wire_stamp: what fstat(2) says */
  void (*at_exec)(void);
  int accepted;                 /* what accept4(2) gives next */
  int boot;                     /* what "/boot" opens */
  bool no_relay;                /* relays end before they begin */
  struct gate gates[MAX_PEERS]; /* by the launcher's end */
  int gate_count;               /* above all that is in use */
  bool running;                 /* fuzz_exit may jump */
  jmp_buf end;
};

extern struct kernel kernel;
void kernel_forget_gates(void);

#endif
