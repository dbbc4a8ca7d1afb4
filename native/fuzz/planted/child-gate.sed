# sandbox/first-process.c
# A run does not wait at its gate.
s/^    wait_at_gate();$//
