/* terminal.h: the caller's terminal while the run has one of its own (spec/wire.md, "TERMINAL"). */
#ifndef BELLADONNA_BELL_TERMINAL_H
#define BELLADONNA_BELL_TERMINAL_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

/* The run has a terminal of its own: `keys` takes what is typed. */
void terminal_begin(int keys);

/* The run's command was stopped by this signal. Returns once it is to go on: then the run needs a SIGCONT. */
void terminal_stopped(uint32_t number);

/* SIGTSTP came to ourselves: stops, with the settings as they were. */
void terminal_suspend(void);

/* Puts the terminal into raw mode if it is ours now, and something is to be read from it. */
void terminal_take(void);

/* Gives its settings back, if they are ours; on every way out. */
void terminal_leave(void);

/* What to wait for, and for how long at most; and what then to do. */
int terminal_wait(struct pollfd *waiting);
void terminal_pump(const struct pollfd *waiting);

#endif
