/*
 * bell: asks the bridge to run one action and stands in for it: same stdio, signals passed on, same exit status.
 *
 * It holds no privilege and decides nothing. It trusts the socket's owner with the caller's three descriptors and
 * inputs, and nothing else: what comes back can at most choose an exit status, put escaped text on stderr, and be given
 * what is typed.
 *
 * The order matters: 1. 0, 1, 2 are open, so that no descriptor of ours takes their place and is passed on as stdio;
 * 2. connect, still interruptible; 3. block the signals, so that none falls between the request and the loop;
 * 4. send; 5. wait; 6. whatever came of it, the terminal is given back before a word is said.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "answer.h"
#include "request.h"
#include "terminal.h"
#include "text.h"

#ifndef BELLADONNA_VERSION
#define BELLADONNA_VERSION "0.1.0"
#endif

#define DEFAULT_SOCKET "/run/belladonna/run.sock"

struct order {
  const char *socket_path;
  const char *reason;
  bool json, bind_stdin;
  char *const *action; /* and after it the pairs, then NULL */
};

static const char help[] =
    "usage: bell [-b] [-S SOCKET] [-r REASON] [--json] ACTION [name=value | name@FILE ...]\n"
    "\n"
    "Asks the Belladonna bridge to run ACTION, with this terminal or these pipes, and exits as it does.\n"
    "\n"
    "name@FILE is for parameters that are secrets: what is in FILE (or /dev/fd/N) goes by a descriptor.\n"
    "\n"
    "  -b, --bind-stdin     read all of stdin first, for actions that bind it (1 MiB at most)\n"
    "  -S, --socket SOCKET  the bridge's run.sock (default $BELLADONNA_SOCKET or " DEFAULT_SOCKET ")\n"
    "  -r, --reason REASON  why; it is recorded\n"
    "      --json           report refusals and the end of the run as one line of JSON on stderr\n"
    "  -h, --help           this text\n"
    "  -V, --version        the version\n"
    "\n"
    "Exit status: the command's; 128+n if signal n ended it; 124 a time limit ran out; 125 refused or failed\n"
    "before it started, or the connection was lost; 126 it cannot be executed; 127 no such action.\n"
    "\n"
    "Example: bell -r 'deploy 1.2' service.restart service=nginx.service\n";

static struct request request;
static struct answer answer;

static int say(const char *words) {
  size_t size = strlen(words);
  return write(STDOUT_FILENO, words, size) == (ssize_t)size ? 0 : 1;
}

static int misused(const char *words, const char *argument) {
  text_put("bell: ");
  text_put(words);
  if (argument != NULL) {
    text_put(": '");
    text_put_foreign((const uint8_t *)argument, strlen(argument));
    text_put("'");
  }
  text_put("\nTry 'bell --help'.\n");
  text_flush();
  return BELL_NOT_STARTED;
}

/* Returns -1 to go on, or the exit status. Options end at the action, as with sudo. */
static int read_order(int argc, char **argv, struct order *order) {
  static const struct option options[] = {
      {"bind-stdin", no_argument, NULL, 'b'},
      {"socket", required_argument, NULL, 'S'},
      {"reason", required_argument, NULL, 'r'},
      {"json", no_argument, NULL, 'j'},
      {"help", no_argument, NULL, 'h'},
      {"version", no_argument, NULL, 'V'},
      {NULL, 0, NULL, 0},
  };
  const char *from_environment = getenv("BELLADONNA_SOCKET");
  bool named = from_environment != NULL && from_environment[0] != '\0';
  *order = (struct order){named ? from_environment : DEFAULT_SOCKET, "", false, false, NULL};
  opterr = 0; /* its messages would print argv unescaped */
  for (int option; (option = getopt_long(argc, argv, "+bS:r:hV", options, NULL)) != -1;) {
    switch (option) {
    case 'b':
      order->bind_stdin = true;
      break;
    case 'S':
      order->socket_path = optarg;
      break;
    case 'r':
      order->reason = optarg;
      break;
    case 'j':
      order->json = true;
      break;
    case 'h':
      return say(help);
    case 'V':
      return say("bell " BELLADONNA_VERSION "\n");
    default:
      return misused("unknown option, or one without its value", argv[optind - 1]);
    }
  }
  if (optind >= argc) return misused("an action is missing", NULL);
  order->action = argv + optind;
  return -1;
}

static int make_request(const struct order *order) {
  switch (format_request(&request, order->action[0], order->reason, order->action + 1, order->bind_stdin)) {
  case REQUEST_OK:
    return -1;
  case REQUEST_NOT_PAIR:
    return misused("expected name=value or name@FILE", request.at_fault);
  case REQUEST_TOO_MANY_FILES:
    return misused("more than four files", NULL);
  case REQUEST_UNREADABLE:
    return misused(strerror(errno), request.at_fault);
  case REQUEST_TOO_MANY:
    return misused("more than 64 parameters", NULL);
  case REQUEST_TOO_LONG:
    break;
  }
  return misused("the request is over 64 KiB", NULL);
}

/* A closed descriptor becomes /dev/null: open(2) takes the lowest free number, which is this one. */
static bool open_stdio(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) == -1 && open("/dev/null", O_RDWR) != fd) return false;
  }
  return true;
}

/* sun_path holds 107 bytes and NUL. A longer path is reached through its directory's descriptor. */
static bool set_address(struct sockaddr_un *address, const char *path) {
  size_t size = strlen(path);
  const char *name = strrchr(path, '/');
  char *end;
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  errno = ENAMETOOLONG;
  if (size < sizeof address->sun_path) {
    memcpy(address->sun_path, path, size + 1);
    return true;
  }
  static char directory[4096];
  static const char prefix[] = "/proc/self/fd/";
  if (name == NULL || (size_t)(name - path) >= sizeof directory) return false;
  memcpy(directory, path, name == path ? 1 : (size_t)(name - path));
  int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  errno = ENAMETOOLONG;
  if (fd > 99 || strlen(name) + sizeof prefix + 2 > sizeof address->sun_path) return false;
  memcpy(address->sun_path, prefix, sizeof prefix);
  end = address->sun_path + sizeof prefix - 1;
  if (fd > 9) *end++ = (char)('0' + fd / 10);
  *end++ = (char)('0' + fd % 10);
  memcpy(end, name, strlen(name) + 1);
  return true;
}

static int connect_to(const char *path) {
  struct sockaddr_un address;
  if (!set_address(&address, path)) return -1;
  int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connection < 0) return -1;
  return connect(connection, (const struct sockaddr *)&address, sizeof address) == 0 ? connection : -1;
}

/* What is ignored stays ignored (nohup): the kernel would queue a blocked signal all the same. SIGPIPE is blocked too,
 * so that a stderr that nobody reads does not cost the command's exit status. */
static int hold_signals(void) {
  static const int held[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGCONT, SIGWINCH, SIGTSTP};
  sigset_t forward, block;
  sigemptyset(&forward);
  for (size_t i = 0; i < sizeof held / sizeof held[0]; i++) {
    struct sigaction now;
    if (sigaction(held[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN) sigaddset(&forward, held[i]);
  }
  block = forward;
  sigaddset(&block, SIGPIPE);
  if (sigprocmask(SIG_BLOCK, &block, NULL) != 0) return -1;
  return signalfd(-1, &forward, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool send_request(int connection) {
  union {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof request.fds)];
  } control = {0};
  size_t size = request.fd_count * sizeof request.fds[0];
  struct iovec frame = {request.frame, request.size};
  struct msghdr message = {
      .msg_iov = &frame, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = (socklen_t)CMSG_SPACE(size)};
  struct cmsghdr *descriptors = CMSG_FIRSTHDR(&message);
  descriptors->cmsg_level = SOL_SOCKET;
  descriptors->cmsg_type = SCM_RIGHTS;
  descriptors->cmsg_len = (socklen_t)CMSG_LEN(size);
  memcpy(CMSG_DATA(descriptors), request.fds, size);
  ssize_t sent = sendmsg(connection, &message, MSG_NOSIGNAL);
  if (sent == (ssize_t)request.size) return true;
  /* The launcher takes the request whole with its descriptors; a rest sent later would be another message. */
  if (sent >= 0) errno = EMSGSIZE;
  /* It may have answered ("busy") and hung up before reading: then that is waiting to be read. */
  return errno == EPIPE || errno == ECONNRESET;
}

/* A bridge that does not read any more gets no more signals: waiting for it would hold bell beyond SIGINT. */
static void forward(int connection, int number) {
  const uint8_t frame[] = {4, 0, 0, 0, WIRE_SIGNAL & 0xff, WIRE_SIGNAL >> 8, 0, 0, (uint8_t)number, 0, 0, 0};
  (void)send(connection, frame, sizeof frame, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void take_signals(int signals, int connection) {
  struct signalfd_siginfo info;
  while (read(signals, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo == SIGTSTP) {
      terminal_suspend();
      continue;
    }
    if (info.ssi_signo == SIGCONT) terminal_take();
    forward(connection, (int)info.ssi_signo);
  }
}

/* More bytes, and with them perhaps the descriptor of a terminal's keys. */
static ssize_t receive(int connection) {
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control;
  int keys;
  struct iovec rest = {answer.frame + answer.size, sizeof answer.frame - answer.size};
  struct msghdr message = {
      .msg_iov = &rest, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
  const struct cmsghdr *came = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
  if (came != NULL && came->cmsg_type == SCM_RIGHTS && came->cmsg_len == CMSG_LEN(sizeof keys)) {
    memcpy(&keys, CMSG_DATA(came), sizeof keys);
    terminal_begin(keys);
  }
  return n;
}

/* What is in `answer` at last: ANSWER_PARTIAL if there is no more; then errno may say why. */
static enum answer_state await_answer(int connection, int signals) {
  for (;;) {
    struct pollfd waiting[4] = {{connection, POLLIN, 0}, {signals, POLLIN, 0}};
    int most_ms = terminal_wait(waiting + 2);
    if (poll(waiting, 4, most_ms) < 0 && errno != EINTR) return ANSWER_PARTIAL;
    if (waiting[1].revents != 0) take_signals(signals, connection);
    terminal_pump(waiting + 2);
    if (waiting[0].revents == 0) continue;
    ssize_t n = receive(connection);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n == 0) errno = 0;
    if (n <= 0) return ANSWER_PARTIAL;
    answer.size += (size_t)n;
    enum answer_state state;
    while ((state = look_at_answer(&answer)) == ANSWER_TERMINAL) {
      uint32_t number = take_terminal(&answer);
      if (number != 0) terminal_stopped(number);
      forward(connection, SIGCONT);
    }
    if (state != ANSWER_PARTIAL) return state;
  }
}

static int report(enum answer_state state, bool json) {
  int error = errno;
  terminal_leave();
  if (state == ANSWER_WHOLE) return report_answer(&answer, json);
  if (state == ANSWER_PARTIAL) return report_failure("lost", "the connection to the bridge was lost", error, json);
  return report_failure("malformed", "the bridge's answer is not of its form", 0, json);
}

int main(int argc, char **argv) {
  struct order order;
  /* C02. Since Linux 5.18 the kernel turns an empty argv into one empty string. */
  if (argc < 1 || argv[0][0] == '\0') return BELL_NOT_EXECUTABLE;
  if (!open_stdio()) return BELL_NOT_STARTED;
  int status = read_order(argc, argv, &order);
  if (status < 0) status = make_request(&order);
  if (status >= 0) return status;

  int connection = connect_to(order.socket_path);
  if (connection < 0) return report_failure("unreached", "cannot reach the bridge", errno, order.json);
  int signals = hold_signals();
  if (signals < 0) return report_failure("unreached", "cannot hold signals", errno, order.json);
  if (!send_request(connection)) return report_failure("unreached", "cannot send the request", errno, order.json);
  return report(await_answer(connection, signals), order.json);
}
