#!/bin/sh
# umoci 0.4.7 (Debian 12): what an image has in the directory of a volume is unpacked, and covered.
#
# An image may declare directories as volumes, and often has files there (a database's first state, a
# server's pages). Engines copy them into the volume. `umoci unpack` writes a tmpfs for each volume into
# config.json, noexec and without tmpcopyup, so a container of that bundle sees an empty directory,
# and whatever it writes there is gone with it; the files are below, in rootfs. image-spec's
# conversion.md leaves that open. Beside it, an image that tells no date gets one: the year 1.
#
# Seen: rootfs/data/seed is there; on /data a tmpfs of rw,nosuid,nodev,noexec,relatime; created
# 0001-01-01T00:00:00Z.
. "$(dirname "$0")/lib.sh"
debian umoci=0.4.7+ds-3+b7
cd "$work"
/usr/bin/python3 - <<'PYTHON'
import hashlib
import io
import json
import tarfile
from pathlib import Path

blobs = Path("image/blobs/sha256")
blobs.mkdir(parents=True)
KIND = "application/vnd.oci.image"


def descriptor(kind, content):
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"mediaType": f"{KIND}.{kind}", "digest": f"sha256:{digest}", "size": len(content)}


layer = io.BytesIO()
with tarfile.open(fileobj=layer, mode="w") as archive:
    member = tarfile.TarInfo("data/seed")
    member.size = 4
    archive.addfile(member, io.BytesIO(b"seed"))
layer = descriptor("layer.v1.tar", layer.getvalue())
config = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Cmd": ["/bin/true"], "Volumes": {"/data": {}}},
    "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
}
config = descriptor("config.v1+json", json.dumps(config).encode())
manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
manifest = descriptor("manifest.v1+json", json.dumps(manifest).encode())
manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
Path("image/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
Path("image/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
PYTHON
[ "$(id -u)" = 0 ] && rootless='' || rootless=--rootless
# shellcheck disable=SC2086
"$root/usr/bin/umoci" unpack $rootless --image image:latest bundle >log 2>&1 || give_up "umoci: $(tail -n 1 log)"
expect "unpacked" "$(cat bundle/rootfs/data/seed)" seed
out=$(/usr/bin/python3 -c 'import json
config = json.load(open("bundle/config.json"))
for mount in config["mounts"]:
    if mount["destination"] == "/data":
        print(mount["type"], ",".join(mount["options"]))
print(config["annotations"]["org.opencontainers.image.created"])')
expect "mounted on it" "$(echo "$out" | sed -n 1p)" "tmpfs rw,nosuid,nodev,noexec,relatime"
expect "made, of an image that does not say when" "$(echo "$out" | sed -n 2p)" "0001-01-01T00:00:00Z"
finish
