#!/bin/sh
# runc 1.1.5 and crun 1.8.1 (Debian 12): no containers are `null` in one and a list in the other.
#
# `list --format json` of an empty state directory is the JSON document null with runc (Go writes a
# slice that nobody made like that), and a list without elements, on three lines, with crun. Both
# exit 0. So a client that walks over what it has parsed works until the last container is gone.
#
# Seen: runc `null`, crun `[]`.
. "$(dirname "$0")/lib.sh"
debian runc=1.1.5+ds1-1+deb12u1 crun=1.8.1-1+deb12u1 libseccomp2=2.5.4-1+deb12u1 libyajl2=2.1.0-3+deb12u2
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
for name in runc crun; do
    program=$(find "$root/usr" -path "*bin/$name" -type f)
    out=$("$program" --root "$work/state-of-$name" list --format json) || give_up "$name does not run"
    [ "$name" = runc ] && wanted=null || wanted="[]"
    expect "$name" "$(echo "$out" | tr -d ' \n')" "$wanted"
done
finish
