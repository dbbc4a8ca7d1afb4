# launcher/door.c
# Descriptors that came over the count stay open.
s/slot->odd_count = good ? 0 : (int)count;/slot->odd_count = 0;/
