#include "request.h"

#include <stdbool.h>
#include <string.h>

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

enum request_fault format_request(struct request *request, const char *action, const char *reason, char *const *pairs) {
  static const uint8_t no_nonce[1] = {0};
  uint8_t fixed[sizeof(struct wire_head) + 4] = {0}; /* head; version, flags, parameter count */
  size_t count = 0;

  request->size = 0;
  request->at_fault = NULL;
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
    const char *equals = strchr(pairs[i], '=');
    request->at_fault = pairs[i];
    if (equals == NULL || equals == pairs[i]) return REQUEST_NOT_PAIR;
    if (!put_str16(request, pairs[i], (size_t)(equals - pairs[i])) ||
        !put_str16(request, equals + 1, strlen(equals + 1))) {
      return REQUEST_TOO_LONG;
    }
  }
  request->at_fault = NULL;
  set_little(request->frame, (uint32_t)(request->size - sizeof(struct wire_head)), 4);
  set_little(request->frame + 4, WIRE_REQUEST, 2);
  return REQUEST_OK;
}
