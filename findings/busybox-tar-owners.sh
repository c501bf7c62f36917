#!/bin/sh
# busybox 1.35.0, GNU tar 1.34 (Debian 12), Python 3.11: of a pax header busybox takes the name and leaves the owner.
#
# The field for an id in tar's header goes up to 2097151, and ids of containers with user namespaces go
# beyond. GNU's format, the default of GNU tar, writes a larger one in another way into the same field;
# pax, POSIX's format and the default of Python's tarfile, puts it into a record beside, and 0, or
# what fits, into the field. busybox reads of those records the long names and not the ids: the file is
# root's, without a word and with exit status 0. So a root filesystem that a script has packed is unpacked
# by a small image or an initramfs with every name right, and the owner root from some id on. libarchive
# writes both ways at once.
#
# Seen, for uid and gid 3000000 and a name of 120 letters: GNU's format, of either packer: 3000000; pax,
# of either packer: 0; the name always.
. "$(dirname "$0")/lib.sh"

needs_root "files of other owners"
debian busybox-static=1:1.35.0-4+deb12u1+b1 tar=1.34+dfsg-1.2+deb12u1 libacl1=2.3.1-3 libselinux1=3.4-1+b6
echo "with $(/usr/bin/python3 --version)"
LD_LIBRARY_PATH=$(echo "$root"/lib/*-linux-gnu):$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
busybox=$(find "$root" -path '*bin/busybox')
name=$(printf 'n%.0s' $(seq 120))
cd "$work"
touch "$name"
chown 3000000:3000000 "$name"
for format in gnu pax; do
    "$root/bin/tar" --format="$format" -cf "tar-$format" "$name"
    /usr/bin/python3 - "$format" "$name" <<'PYTHON'
import sys
import tarfile

format, name = sys.argv[1:]
kinds = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
with tarfile.open(f"tarfile-{format}", "w", format=kinds[format]) as archive:
    archive.add(name)
PYTHON
    for packer in tar tarfile; do
        mkdir "in-$packer-$format"
        status=0
        "$busybox" tar -xf "$packer-$format" -C "in-$packer-$format" || status=$?
        seen=$(stat -c '%u %g' "in-$packer-$format/$name")
        [ "$format" = gnu ] && wanted="3000000 3000000" || wanted="0 0"
        expect "$packer, $format: exit status and owners" "$status $seen" "0 $wanted"
    done
done
expect "default of tarfile" "$(/usr/bin/python3 -c 'import tarfile
print(tarfile.DEFAULT_FORMAT == tarfile.PAX_FORMAT)')" True
finish
