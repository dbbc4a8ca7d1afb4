/*
 * sealed.c: what the bridge has to see before it permits is put into memory that is then sealed: it takes nothing else,
 * since what it has looked at must be what the command reads.
 *
 * A secret's bytes are in our own memory for as long as one read and one write take, and are overwritten there.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../wire.h"
#include "sealed.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8u
#endif

static char chunk[16384];

/* Linux 6.3 may be set to refuse memory that could be executed; older ones do not know the flag. */
static int new_memory(void) {
  int fd = memfd_create("belladonna-input", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  return fd < 0 && errno == EINVAL ? memfd_create("belladonna-input", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fd;
}

static bool copy(int from, int to, size_t most) {
  for (size_t size = 0; size <= most;) {
    size_t wanted = most + 1 - size < sizeof chunk ? most + 1 - size : sizeof chunk;
    ssize_t n = read(from, chunk, wanted);
    if (n == 0) return true;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 || write(to, chunk, (size_t)n) != n) return false;
    size += (size_t)n;
  }
  return true;
}

int seal_input(int fd, size_t most) {
  int memory = new_memory();
  if (memory < 0) return -1;
  bool whole = copy(fd, memory, most);
  explicit_bzero(chunk, sizeof chunk);
  if (whole && fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) == 0) return memory;
  int error = errno;
  close(memory);
  errno = error;
  return -1;
}

int seal_file(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return -1;
  (void)mlock(chunk, sizeof chunk);
  int memory = seal_input(fd, WIRE_MAX_SECRET);
  int error = errno;
  close(fd);
  errno = error;
  /* For as long as we live, which is until the command has ended. Its pages stay in memory with the mapping. */
  void *pages = memory < 0 ? MAP_FAILED : mmap(NULL, WIRE_MAX_SECRET, PROT_READ, MAP_PRIVATE, memory, 0);
  if (pages != MAP_FAILED) (void)mlock(pages, (size_t)lseek(memory, 0, SEEK_CUR));
  return memory;
}
