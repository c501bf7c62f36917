#!/bin/sh
# systemd 252 (Debian 12): systemd-nspawn runs OCI bundles of version 1.0.0, and of no other.
#
# --oci-bundle reads a config.json of the runtime specification, and compares its ociVersion with
# "1.0.0" letter by letter. The specification has had 1.0.1 and 1.0.2 since, which change no property,
# and every tool writes the version that it was built with: what `runc spec` makes is refused, with the
# version as the only reason, and runs when a person has written an older one into it.
#
# Seen: "OCI bundle version not supported" for 1.0.1, 1.0.2, 1.0.2-dev (runc 1.1.5's) and 1.1.0; not
# for 1.0.0, of the same bundle.
. "$(dirname "$0")/lib.sh"
needs_root "systemd-nspawn"
debian systemd-container=252.39-1~deb12u2 libsystemd-shared=252.39-1~deb12u2 \
    runc=1.1.5+ds1-1+deb12u1 libseccomp2=2.5.4-1+deb12u1 busybox-static=1:1.35.0-4+deb12u1+b1
LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu):$(echo "$root"/usr/lib/*/systemd)
export LD_LIBRARY_PATH
nspawn=$root/usr/bin/systemd-nspawn
"$nspawn" --version >"$work/version" 2>"$work/log" || give_up "$(tail -n 1 "$work/log")"
mkdir -p "$work/b/rootfs/bin" "$work/b/rootfs/usr"
cp "$root"/bin/busybox "$work/b/rootfs/bin/" 2>/dev/null || cp "$root"/usr/bin/busybox "$work/b/rootfs/bin/"
runc=$(find "$root/usr" -path "*bin/runc" -type f)
(cd "$work/b" && "$runc" spec)
sed -i 's/"terminal": true/"terminal": false/; s,"sh","/bin/busybox"\, "true",' "$work/b/config.json"
written=$(sed -n 's/.*"ociVersion": "\(.*\)".*/\1/p' "$work/b/config.json")
expect "runc writes" "$written" 1.0.2-dev
for version in "$written" 1.0.1 1.0.2 1.1.0 1.0.0; do
    sed -i "s/\"ociVersion\": \".*\"/\"ociVersion\": \"$version\"/" "$work/b/config.json"
    # Where no systemd runs it ends for want of that, once it has read the bundle.
    unshare --mount --propagation private timeout 60 "$nspawn" --oci-bundle="$work/b" --register=no \
        --keep-unit </dev/null >"$work/said" 2>&1 || :
    said=$(grep -o 'OCI bundle version not supported' "$work/said" || echo taken)
    [ "$version" = 1.0.0 ] && wanted=taken || wanted="OCI bundle version not supported"
    expect "$version" "$said" "$wanted"
done
finish
