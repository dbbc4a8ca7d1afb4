# relay/relay.c
# What is hashed is what was offered.
s/sha256_add(&stream->sha, stream->bytes + stream->at, (size_t)n)/sha256_add(\&stream->sha, stream->bytes + stream->at, stream->size - stream->at)/
