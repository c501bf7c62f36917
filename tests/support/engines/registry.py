"""A registry of one image, for engines that pull by digest: registry.py LAYOUT PORT

LAYOUT is the directory of an OCI image layout; the image has any name, and any tag is its first
manifest. It says `ready` when it listens, on the loopback device.
"""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import sys
from pathlib import Path

OCI = "application/vnd.oci.image"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MANIFEST = f"{OCI}.manifest.v1+json"


def write_layout(directory: Path, layer: bytes, command: list[str]) -> None:
    """Make a directory the layout of an image of one layer, a tar archive."""
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(kind: str, text: bytes) -> dict[str, object]:
        digest = hashlib.sha256(text).hexdigest()
        (blobs / digest).write_bytes(text)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(text)}

    config: dict[str, object] = {
        "architecture": ARCHITECTURES[os.uname().machine],
        "os": "linux",
        "config": {"Cmd": command, "Env": ["PATH=/bin:/usr/bin:/sbin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": add(f"{OCI}.config.v1+json", json.dumps(config).encode()),
        "layers": [add(f"{OCI}.layer.v1.tar", layer)],
    }
    index = {"schemaVersion": 2, "manifests": [add(MANIFEST, json.dumps(manifest).encode())]}
    (directory / "index.json").write_text(json.dumps(index))


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers /v2/NAME/manifests/TAG-OR-DIGEST and /v2/NAME/blobs/DIGEST."""

    layout = Path()

    def do_GET(self) -> None:
        """Send what was asked for; /v2/ is all that remains, and has no content."""
        *_, kind, name = self.path.split("/")
        if kind == "manifests" and ":" not in name:
            name = json.loads((self.layout / "index.json").read_text())["manifests"][0]["digest"]
        text, content = b"{}", "application/octet-stream"
        if kind in ("manifests", "blobs"):
            text = (self.layout / "blobs" / name.replace(":", "/")).read_bytes()
        if kind == "manifests":
            content = json.loads(text).get("mediaType", MANIFEST)
        self.send_response(200)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Docker-Content-Digest", name)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(text)

    do_HEAD = do_GET  # noqa: N815 - http.server's name


if __name__ == "__main__":
    Handler.layout = Path(sys.argv[1])
    with http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler) as server:
        print("ready", flush=True)
        server.serve_forever()
