#!/bin/sh
# Runs a command that has a disk of its own whose file system can share blocks between files.
#
#   tests/cloning_disk.sh TYPE DIRECTORY COMMAND [ARGUMENT...]
#
# TYPE is btrfs or xfs. A sparse file of 400 MiB is formatted and mounted over DIRECTORY in a mount
# namespace that only the command and its children see; the file has no name any more by then, so
# all of it is gone when they have ended, however they ended.
#
# Where that is not permitted, or mkfs.btrfs or mkfs.xfs is missing: says so in one line that begins
# with SKIPPED, and exits with 77.
set -u

[ $# -ge 3 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2; }
type=$1
PATH=$PATH:/usr/sbin:/sbin
skip() {
    echo "SKIPPED: no $type can be mounted here: $1" >&2
    exit 77
}
command -v "mkfs.$type" >/dev/null || skip "mkfs.$type is not installed"
disk=$(mktemp) || exit 1
trap 'rm -f "$disk"' EXIT
truncate -s 400M "$disk"
why=$("mkfs.$type" -q "$disk" 2>&1) || skip "$(echo "$why" | tail -n 1)"
mount_and='mount -t "$0" -o loop "$1" "$2"'
why=$(unshare --mount sh -c "$mount_and" "$type" "$disk" "$2" 2>&1) ||
    skip "$(echo "$why" | tail -n 1)"
# Not `exec`: the file is to be removed if the mount fails after all.
shift
unshare --mount sh -c "$mount_and"' && rm -f "$1" && shift 2 && exec "$@"' "$type" "$disk" "$@"
