#include "request.h"

#include <string.h>
#include <unistd.h>

#include "sealed.h"

static bool put(struct request *request, const void *bytes, size_t size) {
  if (size > sizeof request->frame - request->size) return false;
  memcpy(request->frame + request->size, bytes, size);
  request->size += size;
  return true;
}

static void set_little(uint8_t *at, uint32_t number, size_t size) {
  for (size_t i = 0; i < size; i++) at[i] = (uint8_t)(number >> 8 * i);
}

static bool put_str16(struct request *request, const char *bytes, size_t size) {
  uint8_t count[2];
  if (size > UINT16_MAX) return false;
  set_little(count, (uint32_t)size, sizeof count);
  return put(request, count, sizeof count) && put(request, bytes, size);
}

/* The value names the descriptor, from @1 on; nothing of the file is in the frame. */
static enum request_fault put_file(struct request *request, const char *path) {
  size_t number = request->fd_count - 2;
  const char name[] = {'@', (char)('0' + number)};
  if (number > WIRE_MAX_INPUTS) return REQUEST_TOO_MANY_FILES;
  int fd = seal_file(path);
  if (fd < 0) return REQUEST_UNREADABLE;
  request->fds[request->fd_count++] = fd;
  return put_str16(request, name, sizeof name) ? REQUEST_OK : REQUEST_TOO_LONG;
}

static enum request_fault put_pair(struct request *request, const char *pair) {
  size_t size = strcspn(pair, "=@");
  request->at_fault = pair;
  if (size == 0 || pair[size] == '\0') return REQUEST_NOT_PAIR;
  const char *value = pair + size + 1;
  if (!put_str16(request, pair, size)) return REQUEST_TOO_LONG;
  if (pair[size] == '@') return put_file(request, value);
  return put_str16(request, value, strlen(value)) ? REQUEST_OK : REQUEST_TOO_LONG;
}

enum request_fault format_request(struct request *request, const char *action, const char *reason, char *const *pairs,
                                  bool bind_stdin) {
  static const uint8_t no_nonce[1] = {0};
  uint8_t fixed[sizeof(struct wire_head) + 4] = {0}; /* head; version, flags, parameter count */
  size_t count = 0;

  request->size = 0;
  request->at_fault = NULL;
  for (int fd = 0; fd < 3; fd++) request->fds[fd] = fd;
  request->fd_count = 3;
  while (pairs[count] != NULL) {
    if (count == REQUEST_MAX_PARAMETERS) return REQUEST_TOO_MANY;
    count++;
  }
  fixed[sizeof(struct wire_head)] = 1;
  set_little(fixed + sizeof(struct wire_head) + 2, (uint32_t)count, 2);
  if (!put(request, fixed, sizeof fixed) || !put_str16(request, action, strlen(action)) ||
      !put_str16(request, reason, strlen(reason)) || !put(request, no_nonce, sizeof no_nonce)) {
    return REQUEST_TOO_LONG;
  }
  for (size_t i = 0; i < count; i++) {
    enum request_fault fault = put_pair(request, pairs[i]);
    if (fault != REQUEST_OK) return fault;
  }
  request->at_fault = "stdin";
  if (bind_stdin && (request->fds[0] = seal_input(STDIN_FILENO, WIRE_MAX_STDIN)) < 0) return REQUEST_UNREADABLE;
  request->at_fault = NULL;
  set_little(request->frame, (uint32_t)(request->size - sizeof(struct wire_head)), 4);
  set_little(request->frame + 4, WIRE_REQUEST, 2);
  return REQUEST_OK;
}
