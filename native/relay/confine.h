#ifndef BELLADONNA_CONFINE_H
#define BELLADONNA_CONFINE_H

/* Gives up every system call that the relay does not need. Exits if it cannot. */
void confine(void);

#endif
