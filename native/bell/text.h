/* text.h: lines for stderr. What others wrote passes text_put_foreign, so that it cannot steer a terminal (C60). */
#ifndef BELLADONNA_BELL_TEXT_H
#define BELLADONNA_BELL_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Our own words, as they are. */
void text_put(const char *words);

void text_put_number(uint64_t number);

/*
 * Bytes that others wrote: controls, format characters and what is no UTF-8 become \uXXXX. Text that was JSON on one
 * line stays JSON on one line.
 */
void text_put_foreign(const uint8_t *bytes, size_t size);

/* Writes what was put to stderr. A write that fails is not reported: there is nowhere to say it. */
void text_flush(void);

#endif
