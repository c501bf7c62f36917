"""Bundles: a directory with a root filesystem, and a config.json to be changed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from conformance.rootfs import install, make_rootfs

CAPABILITIES = [
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT",
]  # fmt: skip
CAPABILITY_SETS = ("bounding", "effective", "permitted")
PATH = "PATH=/bin"


class Bundle:
    """The bundle in the directory `path`; `config` is the whole configuration, as data.

    `output` is a file for what its program writes. What changes the bundle returns it, so that
    changes can follow one another.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        self.rootfs = path / "rootfs"
        self.output = path / "output"
        self.config = config

    @property
    def process(self) -> dict[str, Any]:
        """`process` of the configuration."""
        process: dict[str, Any] = self.config["process"]
        return process

    @property
    def linux(self) -> dict[str, Any]:
        """`linux` of the configuration."""
        linux: dict[str, Any] = self.config["linux"]
        return linux

    @property
    def resources(self) -> dict[str, Any]:
        """`linux.resources` of the configuration."""
        resources: dict[str, Any] = self.config["linux"]["resources"]
        return resources

    def namespace(self, kind: str, path: str | None = None) -> Self:
        """Make one namespace of this type, or join the one at `path`."""
        return self.drop_namespace(kind).add_namespace(kind, path)

    def add_namespace(self, kind: str, path: str | None = None) -> Self:
        """Append a namespace, new or joined by `path`."""
        entry = {"type": kind} if path is None else {"type": kind, "path": path}
        self.linux["namespaces"].append(entry)
        return self

    def drop_namespace(self, kind: str) -> Self:
        """Stay in the runtime's namespace of this type."""
        self.linux["namespaces"] = [
            entry for entry in self.linux["namespaces"] if entry["type"] != kind
        ]
        return self

    def user_namespace(self, host_id: int = 100_000, size: int = 65_536) -> Self:
        """Make a user namespace that maps 0 to `host_id`, and give it the root filesystem."""
        self.namespace("user")
        mapping = {"containerID": 0, "hostID": host_id, "size": size}
        self.linux["uidMappings"] = [mapping]
        self.linux["gidMappings"] = [dict(mapping)]
        for directory, _, files in os.walk(self.rootfs):
            for name in (directory, *(os.path.join(directory, file) for file in files)):
                os.lchown(name, host_id, host_id)
        return self

    def add_capabilities(self, *names: str) -> Self:
        """Grant more capabilities: bounding, effective and permitted."""
        for kind in CAPABILITY_SETS:
            self.process["capabilities"][kind] += names
        return self

    def add_mount(
        self,
        destination: str,
        kind: str = "tmpfs",
        source: str | Path | None = None,
        options: Sequence[str] = (),
        **more: Any,
    ) -> Self:
        """Append a mount; `source` is `kind` unless given."""
        entry = {"destination": destination, "type": kind, "source": str(source or kind)}
        self.config["mounts"].append({**entry, "options": list(options), **more})
        return self

    def bind(
        self, source: str | Path, destination: str, options: Sequence[str] = ("rbind", "rprivate")
    ) -> Self:
        """Append a bind mount of `source` on the host; `options` have bind or rbind."""
        return self.add_mount(destination, "bind", source, options)

    def hook(self, kind: str, path: str, *args: str, **more: Any) -> Self:
        """Append a hook of this kind; args[0] is the path's last part."""
        entry = {"path": path, "args": [os.path.basename(path), *args], **more}
        self.config.setdefault("hooks", {}).setdefault(kind, []).append(entry)
        return self

    def write(self) -> Self:
        """Write config.json as `config` is now."""
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))
        return self


def make_bundle(
    path: Path, *, busybox: Path, cgroup: str, version: str, script: str | None
) -> Bundle:
    """Return a new bundle whose shell does `script`, or nothing for a long time.

    Its root has a place to mount on (/work) and the program that reports (probe.sh).
    """
    shell = ["/bin/sh", "-c", script] if script is not None else ["/bin/sleep", "600"]
    config = {
        "ociVersion": version,
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "conformance",
        "process": {
            "args": shell,
            "cwd": "/",
            "env": [PATH],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {name: list(CAPABILITIES) for name in CAPABILITY_SETS},
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
            },
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": [{"type": name} for name in ("pid", "ipc", "uts", "mount")],
            "resources": {},
        },
    }
    made = Bundle(path, config)
    make_rootfs(made.rootfs, busybox)
    (made.rootfs / "work").mkdir()
    install(made.rootfs, Path(__file__).with_name("probe.sh"), "bin/probe")
    return made
