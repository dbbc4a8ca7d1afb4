/* sealed.h: input that nobody can change after it was read, for `secret` parameters and bound stdin. */
#ifndef BELLADONNA_BELL_SEALED_H
#define BELLADONNA_BELL_SEALED_H

#include <stdbool.h>
#include <stddef.h>

/*
 * All that `fd` has, at most `most` and one more byte, in a sealed memfd; -1: errno says why. One byte more
 * than the executor takes is read, so that it is the bridge that refuses, and the log that says so.
 */
int seal_input(int fd, size_t most);
/* The same for a file of at most WIRE_MAX_SECRET, in memory that is not swapped out where the caller's limits allow. */
int seal_file(const char *path);

#endif
