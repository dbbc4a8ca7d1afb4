# launcher/main.c
# Spares stay that were made for the capabilities of another policy.
s/^  spares_drop(); .*$//
