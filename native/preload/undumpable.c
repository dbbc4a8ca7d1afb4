/*
 * undumpable.c: a shared object that is preloaded into broker and executor. execve(2) makes a process dumpable again,
 * and Node has no prctl(2): without this a process of the same uid could read the executor's key from its memory, and
 * a crash could write it into a core file.
 */
#include <sys/prctl.h>

__attribute__((constructor)) static void make_undumpable(void) {
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* cannot fail with 0; a test reads /proc/PID's owner to see that it ran */
}
