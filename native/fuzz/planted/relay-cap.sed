# relay/relay.c
# What the terminal showed does not count against the cap.
s/^  room -= stream->size;/  if (stream != \&streams[TERMINAL]) room -= stream->size;/
