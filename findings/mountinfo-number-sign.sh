#!/bin/sh
# Linux 6.18: one line of /proc/PID/mountinfo writes the same name in two ways.
#
# Blank, tab, line feed and backslash are octal in every field. The number sign is octal as well,
# but only in what names the source and the type, not in root and mount point. So a program that
# undoes the four usual ones, and compares a mount's source with a name, misses
# sources with a number sign, while its mount points are right.
#
# Seen: `a#b` as the mount point, `a\043b` as the source, for a tmpfs of that name on that directory.
. "$(dirname "$0")/lib.sh"
needs_root "mount(2), in a mount namespace of its own"
echo "with Linux $(uname -r)"
mkdir "$work/a#b"
line=$(unshare --mount --propagation private sh -c \
    'mount -t tmpfs "a#b" "$1" && grep -F " $1 " /proc/self/mountinfo' sh "$work/a#b")
expect "mount point" "$(echo "$line" | cut -d' ' -f5 | sed 's,.*/,,')" 'a#b'
expect "source" "$(printf '%s\n' "$line" | sed 's/.* - tmpfs \([^ ]*\) .*/\1/')" 'a\043b'
finish
