# launcher/run.c
# OPEN is taken for a run that was not prepared.
/^bool run_open/,/^}/s/if (slot->state != SLOT_PREPARED) return false;/if (slot->state == SLOT_RUNNING) return false;/
