#!/bin/sh
# skopeo 1.9.3 (Debian 12): a copy from one OCI layout to another is another image.
#
# image-spec allows layers that are not compressed (`...layer.v1.tar`), and what builds for speed or for
# a store that compresses itself writes them. Copied to a layout of the same format they are compressed
# on the way: another blob, so another manifest, so another digest, and who deploys or signs by digest
# has nothing under the name that he copied. Nothing is said. Copied to `dir:` it stays what it is.
# --dest-decompress does not stop it, for it means `dir:` alone; --preserve-digests does. And an
# annotation that the image has in index.json is not copied, with that option or without.
#
# Seen: by default tar+gzip and another digest; to dir: the same; with --preserve-digests the same;
# of two annotations in index.json the name is left.
. "$(dirname "$0")/lib.sh"
debian skopeo=1.9.3+ds1-1+b10 libgpgme11=1.18.0-3+deb12u1 libassuan0=2.5.5-5 libgpg-error0=1.46-1 \
    libdevmapper1.02.1=2:1.02.185-2
LD_LIBRARY_PATH=$(echo "$root"/lib/*-linux-gnu):$(echo "$root"/usr/lib/*-linux-gnu)
export LD_LIBRARY_PATH
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
    archive.addfile(tarfile.TarInfo("file"))
layer = descriptor("layer.v1.tar", layer.getvalue())
rootfs = {"type": "layers", "diff_ids": [layer["digest"]]}
config = {"architecture": "amd64", "os": "linux", "rootfs": rootfs}
config = descriptor("config.v1+json", json.dumps(config).encode())
manifest = {"schemaVersion": 2, "mediaType": f"{KIND}.manifest.v1+json", "config": config, "layers": [layer]}
manifest = descriptor("manifest.v1+json", json.dumps(manifest).encode())
manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest", "org.example.build": "7"}
Path("image/index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))
Path("image/oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
PYTHON
cat >look.py <<'PYTHON'
import hashlib
import json
import sys
from pathlib import Path


def listed(layout):
    return json.loads((layout / "index.json").read_text())["manifests"][0]


there = Path(sys.argv[1])
if (there / "index.json").exists():
    entry = listed(there)
    content = (there / "blobs/sha256" / entry["digest"].partition(":")[2]).read_bytes()
else:
    content = (there / "manifest.json").read_bytes()
digest = "sha256:" + hashlib.sha256(content).hexdigest()
print(
    "same digest" if digest == listed(Path("image"))["digest"] else "another digest",
    json.loads(content)["layers"][0]["mediaType"].rpartition(".")[2],
)
if "annotations" in sys.argv:
    print(*entry["annotations"])
PYTHON
copied() {
    to=$1
    shift
    "$root/usr/bin/skopeo" --tmpdir "$work" --insecure-policy copy "$@" "oci:image:latest" "$to" >log 2>&1 ||
        give_up "skopeo: $(tail -n 1 log)"
}
copied oci:plain:latest
expect "to a layout" "$(/usr/bin/python3 look.py plain)" "another digest tar+gzip"
copied oci:open:latest --dest-decompress
expect "with --dest-decompress" "$(/usr/bin/python3 look.py open)" "another digest tar+gzip"
copied dir:files
expect "to a directory" "$(/usr/bin/python3 look.py files)" "same digest tar"
copied oci:kept:latest --preserve-digests
out=$(/usr/bin/python3 look.py kept annotations)
expect "with --preserve-digests" "$(echo "$out" | sed -n 1p)" "same digest tar"
expect "its annotations in the index" "$(echo "$out" | sed -n 2p)" org.opencontainers.image.ref.name
finish
