/*
 * probe.c: tries one thing, in a sandbox or out of it, and says how it went: "ok", "errno N", or what it saw. The
 * tables of restrictions.test.ts say what each sandbox must answer. Static, so that a root with nothing else in it will
 * do.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *words[8];

static long number(int at) { return words[at] == NULL ? 0 : strtol(words[at], NULL, 0); }

static void say(long result) {
  if (result < 0)
    printf("errno %d\n", errno);
  else
    printf("ok\n");
}

/* ---- files ---- */

static void try_read(void) { say(open(words[0], O_RDONLY)); }
static void try_write(void) { say(open(words[0], O_WRONLY)); }
static void try_list(void) { say(opendir(words[0]) == NULL ? -1 : 0); }
static void try_mkdir(void) { say(mkdir(words[0], 0755)); }
static void try_exec(void) { say(execl(words[0], words[0], words[1], words[2], (char *)NULL)); }
static void try_chown(void) { say(chown(words[0], 1, 1)); }
static void try_mknod(void) { say(mknod(words[0], S_IFCHR | 0666, makedev(1, 5))); }

static void try_create(void) {
  struct stat st = {0};
  int fd = open(words[0], O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (fd < 0 || fstat(fd, &st) != 0)
    say(-1);
  else
    printf("mode %o\n", st.st_mode & 07777u);
}

static void try_copy_in(void) { /* what is already in a file, again */
  char text[256];
  int fd = open(words[0], O_RDWR);
  ssize_t size = fd < 0 ? -1 : pread(fd, text, sizeof text, 0);
  say(size < 0 ? -1 : pwrite(fd, text, (size_t)size, 0));
}

static void try_show(void) {
  char text[4096];
  int fd = open(words[0], O_RDONLY);
  ssize_t size;
  if (fd < 0) say(-1);
  while (fd >= 0 && (size = read(fd, text, sizeof text)) > 0) fwrite(text, 1, (size_t)size, stdout);
}

static void try_link_text(void) {
  char text[4096];
  ssize_t size = readlink(words[0], text, sizeof text);
  if (size < 0)
    say(-1);
  else
    printf("%.*s\n", (int)size, text);
}

static void try_fill(void) {
  static char block[1 << 20];
  long long all = 0;
  int fd = open(words[0], O_WRONLY | O_CREAT, 0600);
  ssize_t size;
  memset(block, 'x', sizeof block);
  while (fd >= 0 && (size = write(fd, block, sizeof block)) > 0) all += size;
  printf("%lld MiB, errno %d\n", all >> 20, errno);
}

/* ---- other processes, other namespaces ---- */

static void try_kill(void) { say(kill((pid_t)number(0), 0)); }
static void try_shm(void) { say(shmget((key_t)number(0), 0, 0)); }
static void try_queue(void) { say(mq_open(words[0], O_RDONLY)); }

static void try_host_name(void) { say(sethostname("belladonna-probe", 16)); }

static void try_tcp(void) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(0))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  say(fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, sizeof to));
}

/* A path, or an abstract name after '@'. */
static void try_unix(void) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  snprintf(to.sun_path, sizeof to.sun_path, "%s", words[0]);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(words[0]));
  if (to.sun_path[0] == '@') to.sun_path[0] = 0;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  say(fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, size));
}

/* ---- system calls ---- */

/* With arguments that no call does anything with. */
static void try_call(void) {
  const long none = -1;
  say(syscall(number(0), none, none, none, none, none, none));
}

static void try_clone(void) {
  long pid = syscall(SYS_clone, number(0) | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0) _exit(0);
  say(pid);
}

static void try_ioctl(void) { say(syscall(SYS_ioctl, 1, strtoul(words[0], NULL, 0), "x")); }
static void try_personality(void) { say(syscall(SYS_personality, number(0))); }
static void try_socket(void) { say(socket((int)number(0), (int)number(1), 0)); }
static void try_pair(void) { say(socketpair((int)number(0), (int)number(1), 0, (int[2]){0})); }

#ifdef __x86_64__
static void try_i386(void) {
  long result = 20; /* getpid there */
  __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  printf("ok\n");
}
static void try_x32(void) {
  (void)syscall(0x40000000 + SYS_getpid);
  printf("ok\n");
}
#endif

/* ---- what the command was given ---- */

static void try_ids(void) {
  gid_t groups[64];
  int count = getgroups(64, groups);
  printf("%d %d %d", (int)geteuid(), (int)getegid(), count);
  for (int i = 0; i < count; i++) printf(" %d", (int)groups[i]);
  printf("\n");
}

static void try_status(void) { /* /proc/self/status: one line of it */
  char line[256];
  FILE *file = fopen("/proc/self/status", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, words[0], strlen(words[0])) == 0) fputs(line, stdout);
}

static void try_limit(void) {
  struct rlimit limit;
  getrlimit((int)number(0), &limit);
  printf("%lld %lld\n", (long long)limit.rlim_cur, (long long)limit.rlim_max);
}

static void try_files(void) {
  int count = 0;
  while (open("/dev/null", O_RDONLY) >= 0) count++;
  printf("%d, errno %d\n", count, errno);
}

static void try_raise_files(void) {
  struct rlimit limit = {.rlim_cur = 8192, .rlim_max = 8192};
  say(setrlimit(RLIMIT_NOFILE, &limit));
}

static void try_priority(void) { printf("%d\n", getpriority(PRIO_PROCESS, 0)); }
/* How long this process may run before another's turn, in nanoseconds: sched_attr's runtime. */
static void try_slice(void) {
  uint64_t attributes[6] = {0};
  if (syscall(SYS_sched_getattr, 0, attributes, sizeof attributes, 0) != 0) say(-1);
  printf("%llu\n", (unsigned long long)attributes[3]);
}
static void try_raise_priority(void) { say(setpriority(PRIO_PROCESS, 0, -5)); }

static void try_habit(void) { /* what prctl(2) or another call of that number says without an argument */
  printf("%ld\n", syscall(number(0), number(1), number(2), number(3), number(4), number(5)));
}
static void try_memory_policy(void) {
  int mode;
  if (syscall(SYS_get_mempolicy, &mode, NULL, 0, NULL, 0) != 0)
    say(-1);
  else
    printf("%d\n", mode);
}

static void try_environment(void) {
  for (char **at = environ; *at != NULL; at++) printf("%s\n", *at);
  printf("end\n");
}

static void try_directory(void) {
  char path[4096];
  long size = syscall(SYS_getcwd, path, sizeof path);
  if (size < 0)
    say(-1);
  else
    printf("%s\n", path);
}

static void try_input(void) {
  char text[16] = {0};
  printf("%zd\n", read(0, text, sizeof text));
}

static void try_descriptors(void) {
  int open_ones = 0;
  for (int fd = 0; fd < 4096; fd++)
    if (fcntl(fd, F_GETFD) >= 0) open_ones++;
  printf("%d\n", open_ones);
}

/* ---- limits of the run as a whole ---- */

static void try_fork(void) { /* as many as asked for, all alive at once */
  long count = 0;
  while (count < number(0)) {
    pid_t pid = fork();
    if (pid == 0) {
      pause();
      _exit(0);
    }
    if (pid < 0) break;
    count++;
  }
  printf("%s\n", count == number(0) ? "all" : count < 64 ? "fewer than 64" : "some");
}

static void try_memory(void) {
  size_t size = (size_t)number(0) << 20;
  char *bytes = malloc(size);
  for (size_t at = 0; bytes != NULL && at < size; at += 4096) bytes[at] = 1;
  say(bytes == NULL ? -1 : 0);
}

static void try_sleep(void) {
  usleep((useconds_t)number(0) * 1000);
  printf("ok\n");
}

/* Alive after its parent's end, in a session of its own, deaf to all that can be ignored. */
static void try_stubborn(void) {
  if (fork() == 0) {
    if (fork() != 0 || setsid() < 0) _exit(0);
    for (int signal = 1; signal < 65; signal++) sigaction(signal, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    if (words[1] != NULL) execl("/proc/self/exe", "probe", "sleep", words[1], (char *)NULL);
    for (;;) pause();
  }
  wait(NULL);
  for (int signal = 1; signal < 65; signal++) sigaction(signal, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
  printf("left\n");
  fflush(stdout);
  usleep((useconds_t)number(0) * 1000);
}

static void try_zombies(void) {
  long count = 0;
  for (; count < number(0); count++) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0) break;
  }
  printf("%ld\n", count);
}

static void try_print(void) {
  static char block[1 << 20];
  long long left = (long long)number(0) << 20;
  memset(block, 'x', sizeof block);
  while (left > 0) {
    ssize_t size = write(1, block, sizeof block);
    if (size <= 0) _exit(1);
    left -= size;
  }
}

static long opened;

static void open_all(int directory, int depth) { /* keeps all of them open */
  DIR *list = directory < 0 ? NULL : fdopendir(directory);
  struct dirent *entry;
  while (list != NULL && (entry = readdir(list)) != NULL) {
    if (entry->d_name[0] == '.') continue;
    if (openat(directory, entry->d_name, O_RDONLY | O_NONBLOCK) >= 0) opened++;
    if (depth < 12 && entry->d_type == DT_DIR)
      open_all(openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY), depth + 1);
  }
}

static void try_open_all(void) {
  open_all(open("/", O_RDONLY | O_DIRECTORY), 0);
  printf("%ld, errno %d\n", opened, errno);
}

static const struct {
  const char *name;
  void (*attempt)(void);
} attempts[] = {
    {"read", try_read},
    {"write", try_write},
    {"list", try_list},
    {"mkdir", try_mkdir},
    {"exec", try_exec},
    {"chown", try_chown},
    {"mknod", try_mknod},
    {"create", try_create},
    {"copy-in", try_copy_in},
    {"show", try_show},
    {"link-text", try_link_text},
    {"fill", try_fill},
    {"kill", try_kill},
    {"shm", try_shm},
    {"queue", try_queue},
    {"host-name", try_host_name},
    {"tcp", try_tcp},
    {"unix", try_unix},
    {"call", try_call},
    {"clone", try_clone},
    {"ioctl", try_ioctl},
    {"personality", try_personality},
    {"socket", try_socket},
    {"pair", try_pair},
#ifdef __x86_64__
    {"i386", try_i386},
    {"x32", try_x32},
#endif
    {"ids", try_ids},
    {"status", try_status},
    {"limit", try_limit},
    {"files", try_files},
    {"raise-files", try_raise_files},
    {"priority", try_priority},
    {"slice", try_slice},
    {"raise-priority", try_raise_priority},
    {"habit", try_habit},
    {"memory-policy", try_memory_policy},
    {"environment", try_environment},
    {"directory", try_directory},
    {"input", try_input},
    {"descriptors", try_descriptors},
    {"fork", try_fork},
    {"memory", try_memory},
    {"sleep", try_sleep},
    {"stubborn", try_stubborn},
    {"zombies", try_zombies},
    {"print", try_print},
    {"open-all", try_open_all},
};

int main(int argc, char **argv) {
  for (int i = 2; i < argc && i < 9; i++) words[i - 2] = argv[i];
  for (size_t i = 0; argc > 1 && i < sizeof attempts / sizeof attempts[0]; i++) {
    if (strcmp(attempts[i].name, argv[1]) != 0) continue;
    attempts[i].attempt();
    return 0;
  }
  fprintf(stderr, "probe: no attempt %s\n", argc > 1 ? argv[1] : "");
  return 2;
}
