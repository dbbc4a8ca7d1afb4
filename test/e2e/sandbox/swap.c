/* Changes what is at a path, again and again until it is killed: what C12 and C32 are about.
 *
 *   swap exchange A B          two names change places (renameat2)
 *   swap rewrite A FILE FILE   the content of A is the one, then the other
 *   swap link A TARGET         A is what it is, then a link to TARGET, and back
 *   swap hard A TARGET         so with one more name of TARGET's file
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[1 << 20];

static void copy(const char *from, const char *to) {
  int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_TRUNC);
  ssize_t size = read(in, text, sizeof text);
  if (size > 0) (void)!write(out, text, (size_t)size);
  close(in);
  close(out);
}

int main(int argc, char **argv) {
  char other[4096];
  if (argc < 4) return 2;
  snprintf(other, sizeof other, "%s.other", argv[2]);
  unlink(other);
  if (strcmp(argv[1], "link") == 0 && symlink(argv[3], other) != 0) return 1;
  if (strcmp(argv[1], "hard") == 0 && link(argv[3], other) != 0) return 1;
  if (strcmp(argv[1], "exchange") == 0) snprintf(other, sizeof other, "%s", argv[3]);
  puts("swapping");
  fflush(stdout);
  for (unsigned turn = 0;; turn++) {
    if (strcmp(argv[1], "rewrite") == 0)
      copy(argv[3 + turn % 2], argv[2]);
    else if (renameat2(AT_FDCWD, argv[2], AT_FDCWD, other, RENAME_EXCHANGE) != 0)
      return 1;
    usleep(turn % 7 * 100);
  }
}
