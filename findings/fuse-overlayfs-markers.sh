#!/bin/sh
# fuse-overlayfs 1.10 (Debian 12) and Linux 6.18: an upper directory that one has written, the other cannot remove.
#
# Both mean the same by it: a device 0:0 is a file that is gone, trusted.overlay.opaque a directory that
# hides those below. Stores of images change between the two and keep what is there. But fuse-overlayfs
# marks an opaque directory three times, also by two files in it, for whoever knows only those, and the
# first of them is such a device. It hides both itself. The kernel looks for devices 0:0 where it merges;
# in an opaque directory there is nothing to merge, so it lists the name, and looked up by that name the
# file is gone. Everything that walks the tree fails there (find, tar, cp), rm -r too. In a user namespace
# it is otherwise: the attribute is user.fuseoverlayfs.opaque there, which the kernel does not know, so it
# merges, and only the second file is left to be seen. The way back is good.
#
# Seen, for a directory that was removed and made again: listed .wh..opq and .wh..wh..opq; lstat of the
# first ENOENT; removing the directory ENOENT.
. "$(dirname "$0")/lib.sh"
needs_root "mounts"
[ -e /dev/fuse ] || give_up "no /dev/fuse"
debian fuse-overlayfs=1.10-1 libfuse3-3=3.14.0-4
cat >"$work/look.sh" <<'SHELL'
set -e
cd "$1"
mount -t tmpfs tmpfs tree
cd tree
mkdir -p lower/again upper work merged
LD_LIBRARY_PATH=$(echo "$1"/root/lib/*-linux-gnu):$(echo "$1"/root/usr/lib/*-linux-gnu) \
    "$1/root/usr/bin/fuse-overlayfs" -o lowerdir=lower,upperdir=upper,workdir=work merged 2>/dev/null
rmdir merged/again
mkdir merged/again
umount merged
rm -r work
mkdir work
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work merged
/usr/bin/python3 "$1/look.py"
SHELL
cat >"$work/look.py" <<'PYTHON'
import errno
import os
import shutil

print(*sorted(os.listdir("merged/again")))
for task in (lambda: os.lstat("merged/again/.wh..opq"), lambda: shutil.rmtree("merged/again")):
    try:
        task()
        print("done")
    except OSError as error:
        print(errno.errorcode[error.errno])
PYTHON
mkdir "$work/tree"
out=$(unshare --mount sh "$work/look.sh" "$work")
expect "listed" "$(echo "$out" | sed -n 1p)" ".wh..opq .wh..wh..opq"
expect "lstat of the first" "$(echo "$out" | sed -n 2p)" ENOENT
expect "removing the directory" "$(echo "$out" | sed -n 3p)" ENOENT
finish
