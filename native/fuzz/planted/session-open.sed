# launcher/run.c
# OPEN is taken for a run that was not prepared.
s/if (slot->state != SLOT_PREPARED || slot->opening) return false;/if (slot->state == SLOT_RUNNING) return false;/
