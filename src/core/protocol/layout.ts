/**
 * Sizes, offsets and constants of native/wire.h and native/plan.h, under camel-cased names without the `wire_` prefix.
 *
 * Written by hand, so that no code generator stands between the two; test/native/wire-layout.test.ts compiles
 * the header and compares every struct, field and constant in both directions. All integers are little-endian.
 */

/** WIRE_VERSION: the number in `hello` and in a plan; another number is refused. */
export const wireVersion = 1
/** The longest request frame in bytes, its head included. */
export const maxRequestBytes = 65_536
/** The longest body of a frame between our own processes, in bytes; its head comes on top. */
export const maxFrameBytes = 262_144
/** The most supplementary groups that a subject or a command may have. */
export const maxGroups = 256
/** The longest text of a subject's cgroups, in bytes, that the launcher passes on is shorter than this. */
export const maxCgroups = 4096
/** How many descriptors a client may pass behind 0, 1 and 2. */
export const maxInputs = 4
/** The number that the first of them has for the command; the others follow. */
export const firstInput = 5
/** The longest secret, and the longest bound stdin, in bytes. */
export const maxSecretBytes = 65_536
export const maxStdinBytes = 1_048_576
/** The most bytes of an input in one `bytes` frame. */
export const maxReadBytes = 131_072

/** `sizeof` and `offsetof` of every struct in native/wire.h and native/plan.h. */
export const wireLayout = {
  head: { size: 8, offsets: { size: 0, kind: 4, zero: 6 } },
  hello: { size: 16, offsets: { version: 0, features: 4, bootMs: 8 } },
  submit: {
    size: 64,
    offsets: {
      run: 0,
      pid: 8,
      uid: 12,
      gid: 16,
      flags: 20,
      stdio: 24,
      groupCount: 28,
      cgroupsSize: 32,
      inputCount: 36,
      timeMs: 40,
      nonce: 48,
    },
  },
  read: { size: 16, offsets: { run: 0, input: 8, offset: 12 } },
  bytes: { size: 24, offsets: { run: 0, input: 8, offset: 12, size: 16 } },
  ended: { size: 16, offsets: { kind: 0, value: 4, stage: 8, limits: 10, ticketSize: 12 } },
  exited: {
    size: 56,
    offsets: {
      run: 0,
      kind: 8,
      value: 12,
      stage: 16,
      limits: 18,
      features: 20,
      userUs: 24,
      systemUs: 32,
      maxRssKib: 40,
      wallUs: 48,
    },
  },
  stream: { size: 48, offsets: { written: 0, delivered: 8, sha256: 16 } },
  recording: { size: 48, offsets: { size: 0, sha256: 8, state: 40, error: 44 } },
  output: {
    size: 200,
    offsets: { version: 0, flags: 4, out: 8, err: 56, terminal: 104, recording: 152 },
  },
  relay: {
    size: 48,
    offsets: {
      outputMax: 0,
      stdio: 8,
      terminal: 10,
      detached: 11,
      recorded: 12,
      zero: 13,
      run: 16,
      timeMs: 24,
      nonce: 32,
    },
  },
  recordingHead: {
    size: 64,
    offsets: {
      magic: 0,
      version: 8,
      flags: 12,
      run: 16,
      timeMs: 24,
      limit: 32,
      nonce: 40,
      zero: 56,
    },
  },
  chunk: { size: 16, offsets: { size: 0, kind: 4, zero: 6, atUs: 8 } },
  prepare: {
    size: 24,
    offsets: { run: 0, planSize: 8, commandSize: 12, inputCount: 16, flags: 18, proxySize: 20 },
  },
  identity: {
    size: 144,
    offsets: {
      publicKey: 0,
      policyDigest: 32,
      receiptCount: 64,
      receiptHead: 72,
      signedSize: 104,
      signedRoot: 112,
    },
  },
  resolved: {
    size: 152,
    offsets: {
      run: 0,
      timeMs: 8,
      notAfterMs: 16,
      executableSha256: 24,
      actionDigest: 56,
      interpreterSha256: 88,
      proxySha256: 120,
    },
  },
  intend: { size: 40, offsets: { run: 0, actionDigest: 8 } },
  recorded: { size: 16, offsets: { run: 0, entry: 8 } },
  sign: {
    size: 56,
    offsets: { treeSize: 0, previousSize: 8, root: 16, hashCount: 48, zero: 52 },
  },
  plan: {
    size: 88,
    offsets: {
      version: 0,
      namespaces: 4,
      capabilities: 8,
      landlockScope: 16,
      landlockFs: 24,
      landlockNet: 32,
      memoryMax: 40,
      outputMax: 48,
      pidsMax: 56,
      timeLimitMs: 60,
      umask: 64,
      flags: 68,
      rlimitCount: 72,
      mountCount: 74,
      seccompCount: 76,
      landlockPathCount: 78,
      landlockPortCount: 80,
      zero: 82,
      features: 84,
    },
  },
  rlimit: { size: 24, offsets: { resource: 0, zero: 4, soft: 8, hard: 16 } },
  stamp: { size: 40, offsets: { device: 0, inode: 8, size: 16, mtimeNs: 24, ctimeNs: 32 } },
  command: {
    size: 16,
    offsets: { uid: 0, gid: 4, groupCount: 8, argc: 10, envc: 12, bindCount: 14 },
  },
} as const

/** enum wire_kind: the kind of a frame. */
export const wireKind = {
  request: 0x0101,
  signal: 0x0102,
  refused: 0x0181,
  ended: 0x0182,
  terminal: 0x0183,
  hello: 0x0201,
  submit: 0x0202,
  exited: 0x0203,
  reload: 0x0204,
  bytes: 0x0205,
  executorReady: 0x0301,
  prepare: 0x0302,
  open: 0x0303,
  kept: 0x0304,
  read: 0x0305,
  brokerReady: 0x0401,
  refuse: 0x0402,
  identity: 0x0501,
  resolved: 0x0502,
  declined: 0x0503,
  receipt: 0x0504,
  signed: 0x0505,
  loaded: 0x0506,
  intend: 0x0601,
  recorded: 0x0602,
  dropped: 0x0603,
  sign: 0x0604,
  adopt: 0x0605,
} as const

/** enum wire_subject_flag: what the launcher found out about a peer. */
export const wireSubjectFlag = {
  otherUserNamespace: 1,
  otherPidNamespace: 2,
  namespaceUnknown: 4,
} as const

/** enum wire_stdio: what a client's descriptor is. */
export const wireStdio = { null: 0, pipe: 1, socket: 2, file: 3, terminal: 4, sealed: 5 } as const

/** enum wire_end: how a run ended. */
export const wireEnd = {
  exited: 1,
  signalled: 2,
  timedOut: 3,
  failed: 4,
  gone: 5,
  lost: 6,
  stopped: 7,
} as const

/** enum wire_limit: what the kernel counted of a run's cgroup. */
export const wireLimit = { seen: 1, memory: 2, processes: 4 } as const

/** enum wire_output_flag: what a relay says of its run's output. */
export const wireOutputFlag = { capped: 1, undelivered: 2, terminal: 4 } as const

/** enum wire_recording_state: what became of a run's recording. */
export const wireRecordingState = { none: 0, whole: 1, failed: 2 } as const

/** enum wire_chunk_kind: what a piece of a recording is. */
export const wireChunkKind = { stdout: 1, stderr: 2, terminal: 3, size: 4, end: 5 } as const

/** enum wire_stage: where the making of a run failed. */
export const wireStage = {
  none: 0,
  clone: 1,
  cgroup: 2,
  network: 3,
  mount: 4,
  limits: 5,
  identity: 6,
  landlock: 7,
  seccomp: 8,
  executable: 9,
  exec: 10,
  stdio: 11,
  capacity: 12,
  proxy: 13,
  recording: 14,
} as const

/** enum wire_feature: what was in force. */
export const wireFeature = {
  pidNamespace: 0x1,
  mountNamespace: 0x2,
  ipcNamespace: 0x4,
  utsNamespace: 0x8,
  networkNamespace: 0x10,
  networkSharedEmpty: 0x20,
  cgroupNamespace: 0x40,
  cgroupKill: 0x80,
  cgroupLimits: 0x100,
  rootReadOnly: 0x200,
  privateTmp: 0x400,
  capabilities: 0x800,
  noNewPrivs: 0x1000,
  seccomp: 0x2000,
  landlockScope: 0x4000,
  rlimits: 0x8000,
  userNamespace: 0x1_0000,
  peerPidfd: 0x2_0000,
  landlockFiles: 0x4_0000,
  landlockTcp: 0x8_0000,
  landlockTruncate: 0x10_0000,
  landlockIoctl: 0x20_0000,
  sessionKeyring: 0x40_0000,
  dbusFiltered: 0x80_0000,
  detached: 0x100_0000,
  recorded: 0x200_0000,
} as const

/** enum wire_namespace: which namespaces a plan asks for. */
export const wireNamespace = {
  pid: 0x1,
  mount: 0x2,
  ipc: 0x4,
  uts: 0x8,
  network: 0x10,
  networkOwn: 0x20,
  cgroup: 0x40,
  loopback: 0x80,
} as const

/** enum wire_plan_flag. */
export const wirePlanFlag = { stdinNull: 1, noExec: 2, proxied: 8, recorded: 16 } as const

/** enum wire_prepare_flag. */
export const wirePrepareFlag = { detach: 1 } as const

/** enum wire_mount: what a mount entry of a plan does. */
export const wireMount = {
  tmpfs: 1,
  bind: 2,
  proc: 3,
  device: 4,
  symlink: 5,
  directory: 6,
  devpts: 7,
} as const

/** enum wire_mount_flag. */
export const wireMountFlag = { writable: 1, optional: 2, exec: 4, own: 8 } as const

/** enum wire_bind_flag: of a command's bind, beside `writable` and `exec` of wireMountFlag. */
export const wireBindFlag = { live: 16, single: 32 } as const
