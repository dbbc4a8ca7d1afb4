/*
 * wire.h: the one place for frames that cross a process boundary. spec/wire.md is the normative text;
 * test/native/wire-layout.test.ts compares every size and offset here with the TypeScript decoder.
 *
 * All integers are little-endian. A frame is `struct wire_head` and then `size` bytes of body. A string is a
 * u16 byte count and that many bytes, without NUL ("str16"); a blob has a u32 count ("blob32").
 *
 * What is in a plan and in a command is in plan.h.
 */
#ifndef BELLADONNA_WIRE_H
#define BELLADONNA_WIRE_H

#include <stdint.h>

#define WIRE_VERSION 1u

/* A request frame, head included, is at most 64 KiB (DESIGN.md section 5). */
#define WIRE_MAX_REQUEST 65536u
/* A frame between our own processes: a plan with its seccomp program, mounts, argv and environment. */
#define WIRE_MAX_FRAME 262144u
#define WIRE_MAX_GROUPS 256u
#define WIRE_MAX_CGROUPS 4096u
/* Descriptors that a client passes behind 0, 1 and 2: for the command they are WIRE_FIRST_INPUT and those after it. */
#define WIRE_MAX_INPUTS 4u
#define WIRE_FIRST_INPUT 5u
/* The longest secret and the longest bound stdin that the executor takes. */
#define WIRE_MAX_SECRET 65536u
#define WIRE_MAX_STDIN 1048576u
/* Bytes of an input in one WIRE_BYTES. */
#define WIRE_MAX_READ 131072u

struct wire_head {
  uint32_t size; /* bytes of body that follow */
  uint16_t kind; /* enum wire_kind */
  uint16_t zero; /* must be 0 */
};

enum wire_kind {
  /* client to launcher */
  WIRE_REQUEST = 0x0101, /* the flat request; read by executor and broker, never by the launcher */
  WIRE_SIGNAL = 0x0102,  /* u32 signal number */
  /* launcher to client */
  WIRE_REFUSED = 0x0181,  /* u32 exit status for the client, then an RFC 9457 problem as JSON text */
  WIRE_ENDED = 0x0182,    /* struct wire_ended, then the executor's ticket, then struct wire_output if it has a relay */
  WIRE_TERMINAL = 0x0183, /* u32: 0 = the run has a terminal of its own, and the descriptor that comes along takes what
                             is typed; else the signal that stopped its command */
  /* launcher to broker and executor */
  WIRE_HELLO = 0x0201,  /* struct wire_hello */
  WIRE_SUBMIT = 0x0202, /* struct wire_submit, u32 groups[], its cgroups as text, then the request's body as received */
  WIRE_EXITED = 0x0203, /* struct wire_exited, then struct wire_output if it has a relay */
  WIRE_RELOAD = 0x0204, /* empty: read the policy again */
  WIRE_BYTES = 0x0205,  /* to the executor alone: struct wire_bytes, then the bytes */
  /* executor to launcher */
  WIRE_EXECUTOR_READY = 0x0301, /* u64 capabilities that some profile of the policy keeps */
  WIRE_PREPARE = 0x0302,        /* struct wire_prepare, then so many bytes of plan, command and proxy */
  WIRE_OPEN = 0x0303,           /* u64 run, then a ticket of at most 256 bytes that goes to the client unread */
  WIRE_KEPT = 0x0304,           /* u64 as in WIRE_EXECUTOR_READY, of the policy that is in force from now on */
  WIRE_READ = 0x0305,           /* struct wire_read */
  /* broker to launcher */
  WIRE_BROKER_READY = 0x0401, /* empty */
  WIRE_REFUSE = 0x0402,       /* u64 run, then the body of WIRE_REFUSED */
  /* executor to broker */
  WIRE_IDENTITY = 0x0501, /* struct wire_identity, once */
  WIRE_RESOLVED = 0x0502, /* struct wire_resolved, then what of the inputs it binds */
  WIRE_DECLINED = 0x0503, /* u64 run, str16 code, parameter, what is enough, detail, u8 whether that is told */
  WIRE_RECEIPT = 0x0504,  /* u64 run, then the signed receipt */
  WIRE_SIGNED = 0x0505,   /* a checkpoint: the text of a signed note */
  WIRE_LOADED = 0x0506,   /* u8 digest size (32, or 0: it cannot be used), the policy's digest, str16 why not */
  /* broker to executor */
  WIRE_INTEND = 0x0601,   /* struct wire_intend */
  WIRE_RECORDED = 0x0602, /* struct wire_recorded */
  WIRE_DROPPED = 0x0603,  /* u64 run: the broker refused it */
  WIRE_SIGN = 0x0604,     /* struct wire_sign, then 32-byte consistency hashes */
  WIRE_ADOPT =
      0x0605, /* u8 digest[32] of the policy that is in force from now on: the one that was loaded, or the old one */
};

/* What the launcher found out about a peer on a connection that it accepted itself. */
enum wire_subject_flag {
  WIRE_OTHER_USER_NAMESPACE = 1u << 0,
  WIRE_OTHER_PID_NAMESPACE = 1u << 1,
  WIRE_NAMESPACE_UNKNOWN = 1u << 2, /* the peer was gone, or the kernel does not say */
};

/* What a client's descriptor is; anything else is refused before a request is passed on. */
enum wire_stdio {
  WIRE_STDIO_NULL = 0,
  WIRE_STDIO_PIPE = 1,
  WIRE_STDIO_SOCKET = 2,
  WIRE_STDIO_FILE = 3,
  WIRE_STDIO_TERMINAL = 4,
  WIRE_STDIO_SEALED = 5, /* a memfd that nobody can write to any more, opened anew by the launcher */
};

struct wire_hello {
  uint32_t version;
  uint32_t features; /* enum wire_feature: what this kernel and this launcher can enforce */
  uint64_t boot_ms;  /* CLOCK_REALTIME at the launcher's start */
};

struct wire_submit {
  uint64_t run; /* rises by one with each request; never used twice by one launcher */
  uint32_t pid;
  uint32_t uid; /* effective uid at connect(2) */
  uint32_t gid;
  uint32_t flags;
  uint8_t stdio[4]; /* enum wire_stdio of 0, 1, 2; the fourth is 0 */
  uint32_t group_count;
  uint32_t cgroups_size; /* of the text of /proc/PID/cgroup, as the kernel wrote it; 0: nobody vouches for it */
  uint32_t input_count;
  uint64_t time_ms;  /* CLOCK_REALTIME */
  uint8_t nonce[16]; /* from the kernel's generator: no two resolved actions are the same */
};

/* What the executor wants to see of a descriptor that is sealed before it permits: 0 is stdin, inputs are from 3 on. */
struct wire_read {
  uint64_t run;
  uint32_t input;
  uint32_t offset;
};

struct wire_bytes {
  uint64_t run;
  uint32_t input;
  uint32_t offset;
  uint64_t size; /* of the whole input */
};

enum wire_end {
  WIRE_END_EXITED = 1,    /* value = exit status */
  WIRE_END_SIGNALLED = 2, /* value = signal */
  WIRE_END_TIMED_OUT = 3, /* value = 0: the profile's time limit ran out, the cgroup was killed */
  WIRE_END_FAILED = 4,    /* value = errno, stage = enum wire_stage: the command never started */
  WIRE_END_GONE = 5,      /* the client was gone, or the run refused, before the gate opened: never started */
  WIRE_END_LOST = 6,      /* a service of the bridge died: the run was killed */
  WIRE_END_STOPPED = 7,   /* no end, and at a gate only: value = what WIRE_TERMINAL says */
};

enum wire_stage {
  WIRE_STAGE_NONE = 0,
  WIRE_STAGE_CLONE = 1,
  WIRE_STAGE_CGROUP = 2,
  WIRE_STAGE_NETWORK = 3,
  WIRE_STAGE_MOUNT = 4,
  WIRE_STAGE_LIMITS = 5,
  WIRE_STAGE_IDENTITY = 6,
  WIRE_STAGE_LANDLOCK = 7,
  WIRE_STAGE_SECCOMP = 8,
  WIRE_STAGE_EXECUTABLE = 9, /* it is not the file that was hashed */
  WIRE_STAGE_EXEC = 10,
  WIRE_STAGE_STDIO = 11,
  WIRE_STAGE_CAPACITY = 12,
  WIRE_STAGE_PROXY = 13,     /* what filters its sockets could not be started, or died */
  WIRE_STAGE_RECORDING = 14, /* it could not be begun; or of a run that is lost, it could not be kept on */
};

/* What the kernel counted of a run's cgroup. */
enum wire_limit {
  WIRE_LIMIT_SEEN = 1u << 0,      /* it was asked; else nothing is known */
  WIRE_LIMIT_MEMORY = 1u << 1,    /* a process of the run was killed for want of memory */
  WIRE_LIMIT_PROCESSES = 1u << 2, /* a process could not be started: there were as many as there may be */
};

struct wire_ended {
  uint32_t kind;
  uint32_t value;
  uint16_t stage;
  uint16_t limits; /* enum wire_limit */
  uint32_t ticket_size;
};

struct wire_exited {
  uint64_t run;
  uint32_t kind;
  uint32_t value;
  uint16_t stage;
  uint16_t limits;   /* enum wire_limit */
  uint32_t features; /* enum wire_feature: what was in force for this run */
  uint64_t user_us;  /* rusage of the run and all its waited-for children */
  uint64_t system_us;
  uint64_t max_rss_kib;
  uint64_t wall_us; /* from the gate to the end, CLOCK_MONOTONIC */
};

enum wire_output_flag {
  WIRE_OUTPUT_CAPPED = 1u << 0,      /* there was more than the cap: what came after it was thrown away */
  WIRE_OUTPUT_UNDELIVERED = 1u << 1, /* the client was gone, or took nothing any more when the run's time was over */
  WIRE_OUTPUT_TERMINAL = 1u << 2,    /* the run had a terminal of its own */
};

/* One stream of a run whose output went through a relay. */
struct wire_stream {
  uint64_t written;   /* bytes that the run wrote */
  uint64_t delivered; /* of them, the first that the client's descriptor took */
  uint8_t sha256[32]; /* of the delivered bytes */
};

enum wire_recording_state {
  WIRE_RECORDING_NONE = 0,
  WIRE_RECORDING_WHOLE = 1,
  WIRE_RECORDING_FAILED = 2, /* `error`: errno of what could not be done with its file */
};

struct wire_recording {
  uint64_t size; /* of the file, as far as it was written */
  uint8_t sha256[32];
  uint32_t state; /* enum wire_recording_state */
  uint32_t error;
};

/* The relay's word, which goes to the end of WIRE_ENDED and WIRE_EXITED. Of it the launcher reads `recording`. */
struct wire_output {
  uint32_t version;
  uint32_t flags; /* enum wire_output_flag */
  struct wire_stream out;
  struct wire_stream err;
  struct wire_stream terminal; /* what the run's terminal showed; 0 bytes if it had none */
  struct wire_recording recording;
};

/*
 * Launcher to relay, once, with six descriptors: where stdout, stderr and the terminal go, where the first two come
 * from, and a stream socket whose first byte brings the master of the run's terminal, and then what is typed. A message
 * of one byte later: 'W', the client's terminal may have another size; 'D', the client is gone and the run is not:
 * nothing more is delivered, and all is read; any other, the time is over: nothing more is waited for. Of a run that is
 * recorded 'O' comes first, before its gate opens; one byte back says that the recording has begun.
 */
struct wire_relay {
  uint64_t output_max;
  uint8_t stdio[2]; /* enum wire_stdio of the first two descriptors */
  uint8_t terminal; /* 1: the run has one; 0: its two descriptors mean nothing */
  uint8_t detached; /* 1: no end of the client's is one of the run's */
  uint8_t recorded; /* 1: what comes is kept as well, in a file named after the nonce */
  uint8_t zero[3];
  uint64_t run; /* this and what follows for the head of that file */
  uint64_t time_ms;
  uint8_t nonce[16];
};

/* A file of spec/recording.md: this, then chunks until its end. */
struct wire_recording_head {
  uint8_t magic[8]; /* "BELLREC1" */
  uint32_t version; /* 1 */
  uint32_t flags;   /* 0 */
  uint64_t run;
  uint64_t time_ms; /* CLOCK_REALTIME when it was asked for */
  uint64_t limit;   /* what all chunks but the last may take together */
  uint8_t nonce[16];
  uint8_t zero[8];
};

struct wire_chunk {
  uint32_t size; /* bytes that follow */
  uint16_t kind; /* enum wire_chunk_kind */
  uint16_t zero;
  uint64_t at_us; /* since just before the gate opened, CLOCK_MONOTONIC */
};

enum wire_chunk_kind {
  WIRE_CHUNK_STDOUT = 1,
  WIRE_CHUNK_STDERR = 2,
  WIRE_CHUNK_TERMINAL = 3,
  WIRE_CHUNK_SIZE = 4, /* u16 columns, u16 rows of the terminal, from here on */
  WIRE_CHUNK_END = 5,  /* the last: u64 bytes of each of the first three that were written and are not in here */
};

enum wire_feature {
  WIRE_FEATURE_PID_NAMESPACE = 1u << 0,
  WIRE_FEATURE_MOUNT_NAMESPACE = 1u << 1,
  WIRE_FEATURE_IPC_NAMESPACE = 1u << 2,
  WIRE_FEATURE_UTS_NAMESPACE = 1u << 3,
  WIRE_FEATURE_NETWORK_NAMESPACE = 1u << 4,
  WIRE_FEATURE_NETWORK_SHARED_EMPTY = 1u << 5, /* the empty network namespace is shared between runs */
  WIRE_FEATURE_CGROUP_NAMESPACE = 1u << 6,
  WIRE_FEATURE_CGROUP_KILL = 1u << 7, /* an own cgroup v2, ended by cgroup.kill */
  WIRE_FEATURE_CGROUP_LIMITS = 1u << 8,
  WIRE_FEATURE_ROOT_READ_ONLY = 1u << 9,
  WIRE_FEATURE_PRIVATE_TMP = 1u << 10,
  WIRE_FEATURE_CAPABILITIES = 1u << 11,
  WIRE_FEATURE_NO_NEW_PRIVS = 1u << 12,
  WIRE_FEATURE_SECCOMP = 1u << 13,
  WIRE_FEATURE_LANDLOCK_SCOPE = 1u << 14, /* abstract sockets and signals stay inside */
  WIRE_FEATURE_RLIMITS = 1u << 15,
  WIRE_FEATURE_USER_NAMESPACE = 1u << 16,    /* unprivileged mode: root inside is the caller outside */
  WIRE_FEATURE_PEER_PIDFD = 1u << 17,        /* host only: SO_PEERPIDFD */
  WIRE_FEATURE_LANDLOCK_FILES = 1u << 18,    /* a second wall around files */
  WIRE_FEATURE_LANDLOCK_TCP = 1u << 19,      /* only the TCP ports that the profile names */
  WIRE_FEATURE_LANDLOCK_TRUNCATE = 1u << 20, /* truncation is among what that wall holds; before Linux 6.2 it is not */
  WIRE_FEATURE_LANDLOCK_IOCTL = 1u << 21,    /* so with ioctl(2) on devices, Linux 6.10 */
  WIRE_FEATURE_SESSION_KEYRING = 1u << 22,   /* its own, and empty */
  WIRE_FEATURE_DBUS_FILTERED = 1u << 23,     /* it reaches a bus through its proxy only */
  WIRE_FEATURE_DETACHED = 1u << 24,          /* its client went before its end, and it went on without */
  WIRE_FEATURE_RECORDED = 1u << 25,          /* its output is kept, or the run ends */
};

/* Which sandbox, before which command. The executor sends it once its own decision is a permit. */
struct wire_prepare {
  uint64_t run;
  uint32_t plan_size;    /* a PLAN, compiled when the policy was installed (spec/plan.md) */
  uint32_t command_size; /* a COMMAND, made for this run (spec/plan.md) */
  uint16_t input_count;  /* as it was submitted: all of them are the command's */
  uint16_t flags;        /* enum wire_prepare_flag */
  uint32_t
      proxy_size; /* behind the command, the whole body of another PREPARE: with WIRE_PLAN_PROXIED, and only then */
};

enum wire_prepare_flag {
  WIRE_PREPARE_DETACH = 1u << 0, /* the run goes on when its client is gone */
};

/* Who this host is, and where receipts and signatures stand. */
struct wire_identity {
  uint8_t public_key[32]; /* Ed25519, of receipts and checkpoints */
  uint8_t policy_digest[32];
  uint64_t receipt_count;
  uint8_t receipt_head[32]; /* hash of the last receipt's record */
  uint64_t signed_size;     /* the tree of the last checkpoint, 0 before the first */
  uint8_t signed_root[32];
};

struct wire_resolved {
  uint64_t run;
  uint64_t time_ms; /* of the request, but never below the last receipt's */
  uint64_t not_after_ms;
  uint8_t executable_sha256[32];
  uint8_t action_digest[32];
  uint8_t interpreter_sha256[32]; /* all zero: the executable is no script */
  uint8_t proxy_sha256[32];       /* all zero: its sockets are not filtered */
};

struct wire_intend {
  uint64_t run;
  uint8_t action_digest[32];
};

struct wire_recorded {
  uint64_t run;
  uint64_t entry; /* index of the intent's entry in the log */
};

struct wire_sign {
  uint64_t tree_size;
  uint64_t previous_size; /* the tree of the last checkpoint that the executor signed */
  uint8_t root[32];
  uint32_t hash_count;
  uint32_t zero;
};

/*
 * REQUEST body: u8 version = 1, u8 flags = 0, u16 parameter count, str16 action, str16 reason, u8 nonce size (0 or 16),
 * nonce, then per parameter str16 name and str16 value. Nothing may follow.
 */

#endif
