# sandbox/sandbox.c
# The count of groups is not held against the room for them.
s/ || command->group_count > WIRE_MAX_GROUPS//
