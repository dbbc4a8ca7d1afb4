# bell/answer.c
# An answer is taken for whole before it is.
s/return answer->size < head + size ? ANSWER_PARTIAL : ANSWER_WHOLE;/return ANSWER_WHOLE;/
