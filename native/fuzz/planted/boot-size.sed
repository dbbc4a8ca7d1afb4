# launcher/main.c
# The size of a plan is believed.
s/const uint8_t \*plan = take(&c, plan_size);/const uint8_t *plan = c.at; c.at += plan_size;/
