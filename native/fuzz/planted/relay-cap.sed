# relay/relay.c
# What the terminal showed does not count against the cap.
s/^  size_t size = fitting((size_t)n);/&\n  if (stream == \&streams[TERMINAL]) room += size;/
