#include "text.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

/* A line of ours fits, and is then one write(2), which other writers of the same terminal do not tear. */
static char line[4096];
static size_t line_size;

void text_flush(void) {
  size_t done = 0;
  while (done < line_size) {
    ssize_t n = write(STDERR_FILENO, line + done, line_size - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += (size_t)n;
  }
  line_size = 0;
}

static void put_bytes(const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (line_size == sizeof line) text_flush();
    line[line_size++] = bytes[i];
  }
}

void text_put(const char *words) { put_bytes(words, strlen(words)); }

void text_put_number(uint64_t number) {
  char digits[20];
  size_t at = sizeof digits;
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number != 0);
  put_bytes(digits + at, sizeof digits - at);
}

static void put_unit(uint32_t unit) {
  static const char hex[] = "0123456789abcdef";
  const char escape[6] = {'\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};
  put_bytes(escape, sizeof escape);
}

static void put_escape(uint32_t point) {
  if (point < 0x10000) {
    put_unit(point);
    return;
  }
  put_unit(0xd800 + ((point - 0x10000) >> 10));
  put_unit(0xdc00 + ((point - 0x10000) & 0x3ff));
}

/* Length of the well-formed sequence at `at` (RFC 3629: shortest form, no surrogates), or 0. */
static size_t read_point(const uint8_t *at, size_t size, uint32_t *point) {
  static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
  size_t length = at[0] < 0x80             ? 1
                  : (at[0] & 0xe0) == 0xc0 ? 2
                  : (at[0] & 0xf0) == 0xe0 ? 3
                  : (at[0] & 0xf8) == 0xf0 ? 4
                                           : 0;
  if (length == 0 || length > size) return 0;
  *point = length == 1 ? at[0] : at[0] & (0x7fu >> length);
  for (size_t i = 1; i < length; i++) {
    if ((at[i] & 0xc0) != 0x80) return 0;
    *point = *point << 6 | (at[i] & 0x3fu);
  }
  bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
  return *point < least[length] || *point > 0x10ffff || surrogate ? 0 : length;
}

/* Controls (C0, DEL, C1), line and paragraph separators, Unicode's format characters (bidi, invisible, tags), and what
 * is shown as nothing: fillers, variation selectors. */
static bool is_hidden(uint32_t point) {
  static const uint32_t ranges[][2] = {
      {0x00, 0x1f},     {0x7f, 0x9f},     {0xad, 0xad},     {0x34f, 0x34f},   {0x61c, 0x61c},     {0x115f, 0x1160},
      {0x17b4, 0x17b5}, {0x180b, 0x180f}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f},   {0x3164, 0x3164},
      {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff},
  };
  for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
    if (point >= ranges[i][0] && point <= ranges[i][1]) return true;
  }
  return false;
}

void text_put_foreign(const uint8_t *bytes, size_t size) {
  for (size_t i = 0; i < size;) {
    uint32_t point = 0;
    size_t length = read_point(bytes + i, size - i, &point);
    if (length == 0) {
      put_escape(0xfffd);
      i++;
    } else {
      if (is_hidden(point))
        put_escape(point);
      else
        put_bytes((const char *)bytes + i, length);
      i += length;
    }
  }
}
