#!/bin/sh
# runc 1.1.5 and crun 1.8.1 (Debian 12): one config.json, one property in two spellings, two containers.
#
# The names in config.json are case-sensitive, and a runtime has to ignore a property that it does not
# know. Go's JSON package, which runc reads with, takes a member for a field whatever its case, and the
# last one that fits wins, even behind one that is spelled right. So a typing error in a letter's case
# has an effect with runc, and none with crun, which goes by the letters.
# What worked for years stops with the change of a runtime, and nobody says a word.
#
# Seen, for "hostname": "a" and "HostName": "b": runc b, crun a; for "HOSTNAME" alone: runc b, crun the
# host's.
. "$(dirname "$0")/lib.sh"
needs_root "containers"
debian runc=1.1.5+ds1-1+deb12u1 crun=1.8.1-1+deb12u1 libseccomp2=2.5.4-1+deb12u1 \
    libyajl2=2.1.0-3+deb12u2 busybox-static=1:1.35.0-4+deb12u1+b1
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
mkdir -p "$work/b/rootfs/bin" "$work/b/rootfs/proc" "$work/b/rootfs/dev"
cp "$root"/bin/busybox "$work/b/rootfs/bin/" 2>/dev/null || cp "$root"/usr/bin/busybox "$work/b/rootfs/bin/"
outside=$(uname -n)
for names in '"hostname": "a", "HostName": "b"' '"HOSTNAME": "b"'; do
    for name in runc crun; do
        program=$(find "$root/usr" -path "*bin/$name" -type f)
        id=finding-$$-$name
        cat >"$work/b/config.json" <<CONFIG
{"ociVersion": "1.0.2", "root": {"path": "rootfs"}, $names,
 "process": {"cwd": "/", "args": ["/bin/busybox", "hostname"], "env": [], "user": {"uid": 0, "gid": 0}},
 "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}],
 "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}], "cgroupsPath": "/$id"}}
CONFIG
        said=$("$program" --root "$work/state" run --bundle "$work/b" "$id" </dev/null 2>"$work/log") ||
            give_up "$name runs no container here: $(tail -n 1 "$work/log")"
        wanted=b
        [ "$name" = runc ] || case $names in *'"hostname"'*) wanted=a ;; *) wanted=$outside ;; esac
        expect "$name, with $names" "$said" "$wanted"
    done
done
finish
