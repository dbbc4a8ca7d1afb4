/* request.h: the REQUEST frame (spec/wire.md, "REQUEST"), made from a command line. */
#ifndef BELLADONNA_BELL_REQUEST_H
#define BELLADONNA_BELL_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../wire.h"

enum request_fault {
  REQUEST_OK,
  REQUEST_TOO_LONG, /* over WIRE_MAX_REQUEST, or a string over what a str16 can count */
  REQUEST_TOO_MANY, /* parameters than REQUEST_MAX_PARAMETERS */
  REQUEST_NOT_PAIR, /* an argument is neither name=value nor name@file */
  REQUEST_TOO_MANY_FILES,
  REQUEST_UNREADABLE, /* the file at fault; errno says why */
};

#define REQUEST_MAX_PARAMETERS 64u

struct request {
  size_t size;          /* of the frame, head included */
  const char *at_fault; /* the argument that is, or NULL */
  int fds[3 + WIRE_MAX_INPUTS];
  size_t fd_count;
  uint8_t frame[WIRE_MAX_REQUEST];
};

/*
 * Bytes are taken as they are: what they mean is for executor and broker to judge. `pairs` ends with NULL; the first
 * `=` or `@` of each parts name and value. A file's content is not put into the frame, but behind stdio as a sealed
 * descriptor; with `bind_stdin` stdin is too, in place of ours.
 */
enum request_fault format_request(struct request *request, const char *action, const char *reason, char *const *pairs,
                                  bool bind_stdin);

#endif
