# launcher/run.c
# The size of a ticket is not held against the room for it.
s/ || size > MAX_TICKET//
