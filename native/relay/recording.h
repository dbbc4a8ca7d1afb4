/* recording.h: what a run wrote, kept in a file, in the order in which it came. spec/recording.md is the form. */
#ifndef BELLADONNA_RECORDING_H
#define BELLADONNA_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../wire.h"

/* Makes the file, in the working directory, with room for all that the order allows. Not behind `confine`. false: errno
 * says why, and nothing is left. */
bool recording_open(const struct wire_relay *order);
bool recording_is_open(void);
/* From now on it fails silently: `recording_failed` says so. */
void recording_add(enum wire_chunk_kind kind, const void *bytes, size_t size);
bool recording_failed(void);
/* `left_out`: of stdout, stderr and terminal what was written and is not in it. */
void recording_end(const uint64_t left_out[3], struct wire_recording *report);

#endif
