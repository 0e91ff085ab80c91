#!/bin/sh
# Runs a command that has a small disk of its own.
#
#   tests/small_disk.sh SIZE DIRECTORY COMMAND [ARGUMENT...]
#
# A tmpfs of that size, written as for mount(8), is mounted over DIRECTORY in a mount namespace that
# only the command and its children see, so it is gone when they have ended, however they ended.
#
# Where that is not permitted, as in many containers, or not Linux: says so in one line that begins
# with SKIPPED, and exits with 77.
set -u

[ $# -ge 3 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
mount_and='mount -t tmpfs -o "size=$0,mode=755" kvstore-test "$1" && shift && exec "$@"'

# Root may mount; others may in a user namespace, if the system lets them have one.
for namespace in "--mount" "--mount --map-root-user"; do
    if why=$(unshare $namespace sh -c "$mount_and" "$1" "$2" true 2>&1); then
        exec unshare $namespace sh -c "$mount_and" "$@"
    fi
done
echo "SKIPPED: no disk of $1 can be mounted here: $(echo "$why" | tail -n 1)" >&2
exit 77
