/*
 * wire-layout.c: prints sizes, offsets and constants of native/wire.h and native/plan.h as JSON, for wire-layout.test.ts.
 *
 * wire-names.h is made by that test from the headers' own text, so that nothing in them can be forgotten here.
 */
#include <stddef.h>
#include <stdio.h>

#include "plan.h"
#include "wire.h"

#define STRUCT(type) printf("%s{\"struct\":\"" #type "\",\"size\":%zu}", separator(), sizeof(struct type));
#define FIELD(type, field)                                                                                             \
  printf("%s{\"struct\":\"" #type "\",\"field\":\"" #field "\",\"offset\":%zu,\"bytes\":%zu}", separator(),            \
         offsetof(struct type, field), sizeof((struct type *)0)->field);
#define CONSTANT(group, name)                                                                                          \
  printf("%s{\"group\":\"" #group "\",\"name\":\"" #name "\",\"value\":%llu}", separator(), (unsigned long long)name);

static const char *separator(void) {
  static int count;
  return count++ == 0 ? "" : ",\n";
}

int main(void) {
  printf("[");
#include "wire-names.h"
  printf("]\n");
  return 0;
}
