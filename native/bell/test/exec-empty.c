/* exec-empty PROGRAM: executes it with an empty argv (C02). */
#include <unistd.h>

int main(int argc, char **argv) {
  char *nothing[] = {NULL};
  if (argc == 2) execve(argv[1], nothing, nothing);
  return 99;
}
