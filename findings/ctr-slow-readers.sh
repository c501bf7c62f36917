#!/bin/sh
# containerd 1.6.20 (Debian 12): `ctr run` into a slow pipe ends early, and says that all is well.
#
# A container's output goes through two pipes: the program's, and a named one from the shim to the
# client. When the program has ended the client is told, and closes its end of the named one before
# what lies in either of them was read (Delete of a task). With a reader
# that keeps up nothing is there any more. With one that takes its time the end is missing: the exit
# status is the program's, 0, and there is no word on standard error.
#
# Seen: of 160,000 bytes less than 160,000 arrive behind `sleep 2`, all of them at a reader in a hurry.
. "$(dirname "$0")/lib.sh"
needs_root "containers are run"
debian containerd=1.6.20~ds1-1+deb12u3 runc=1.1.5+ds1-1+deb12u1 libseccomp2=2.5.4-1+deb12u1 \
    busybox-static=1:1.35.0-4+deb12u1+b1
cat >"$work/config.toml" <<END
version = 2
root = "$work/containerd"
state = "/run/containerd-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "/run/containerd.sock"
END
mkdir -p "$work/rootfs/bin" "$work/rootfs/proc" "$work/rootfs/sys" "$work/rootfs/dev"
cp "$root/bin/busybox" "$work/rootfs/bin/"
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)
PATH=$root/usr/bin:$root/usr/sbin:$PATH
export LD_LIBRARY_PATH PATH work
# Sockets and state are below /run, a file system of its own here.
# shellcheck disable=SC2016
unshare --mount --propagation private sh -eu -c '
    mount -t tmpfs tmpfs /run
    containerd --config "$work/config.toml" >"$work/log" 2>&1 &
    daemon=$!
    trap "kill $daemon; wait $daemon" EXIT
    until ctr --address /run/containerd.sock version >/dev/null 2>&1; do
        kill -0 $daemon
        sleep 0.1
    done
    for pause in 0 2; do
        {
            status=0
            ctr --address /run/containerd.sock run --rm --rootfs "$work/rootfs" "reader-$pause" \
                /bin/busybox head -c 160000 /dev/zero 2>"$work/said-$pause" || status=$?
            echo $status >"$work/status-$pause"
        } | { sleep $pause; wc -c; } >"$work/bytes-$pause"
    done
' || give_up "containerd does not run: $(tail -n 1 "$work/log")"
for pause in 0 2; do
    bytes=$(tr -d ' ' <"$work/bytes-$pause")
    [ "$bytes" = 160000 ] && arrived=all || arrived="not all"
    [ "$pause" = 0 ] && wanted=all || wanted="not all"
    expect "a pause of $pause s, arrived" "$arrived" "$wanted"
    expect "a pause of $pause s, exit status" "$(cat "$work/status-$pause")" 0
    expect "a pause of $pause s, lines said" "$(grep -c . "$work/said-$pause")" 0
done
finish
