# bell/answer.c
# An answer is taken for whole before it is.
s/^  if (answer->size < head + size) return ANSWER_PARTIAL;$//
