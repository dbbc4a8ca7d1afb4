/* boot.c: the boot file as main.c reads it. It is root's own, and still every length in it is checked. */
#include "../launcher/launcher.h"

#define host_detect() fuzz_exit(0) /* what comes after the reading is not for here */
#define main launcher_main
#include "../launcher/main.c"
#undef main

#include <sys/mman.h>

#include "kernel.h"

static int file = -1;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc, (void)argv;
  file = memfd_create("boot", MFD_CLOEXEC);
  return file < 0 || fchmod(file, 0600) != 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  kernel.running = true;
  kernel.boot = file;
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != (ssize_t)size || lseek(file, 0, SEEK_SET) != 0) abort();
  if (setjmp(kernel.end) == 0) read_boot("/boot");
  kernel.running = false;
  return 0;
}
