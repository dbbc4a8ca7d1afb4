# launcher/run.c
# READ is of any descriptor.
s/ || !is_sealed(slot->stdio\[answer.input\])//
