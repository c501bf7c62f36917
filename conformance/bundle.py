"""Bundles: a directory with a busybox root filesystem and a config.json to be changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

APPLETS = (
    "awk basename cat chmod chown chroot cp cut date dd df dirname echo env false find grep head "
    "hostname id ionice ip kill ln ls md5sum mkdir mkfifo mknod mount mv nice od ping printf ps "
    "pwd readlink rm rmdir sed seq sh sleep sort stat stty sync tail tee test touch tr true tty "
    "umount uname wc"
).split()
DIRECTORIES = ("bin", "dev", "etc", "proc", "run", "sys", "tmp", "work")
CAPABILITIES = [
    "CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT",
]  # fmt: skip
CAPABILITY_SETS = ("bounding", "effective", "permitted")
PATH = "PATH=/bin"


class Bundle:
    """A bundle that `write` makes complete; `config` is the whole configuration, as data.

    `script` is what the container's shell does, if not nothing for a long time.
    """

    def __init__(
        self, path: Path, *, busybox: Path, cgroup: str, version: str, script: str | None
    ) -> None:
        self.path = path
        self.rootfs = path / "rootfs"
        self.output = path / "output"
        self._make_rootfs(busybox)
        shell = ["/bin/sh", "-c", script] if script is not None else ["/bin/sleep", "600"]
        self.config: dict[str, Any] = {
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

    def namespace(self, kind: str, path: str | None = None) -> None:
        """Make a namespace of this type, or join the one at `path`."""
        entry = {"type": kind} if path is None else {"type": kind, "path": path}
        self.without_namespace(kind)
        self.linux["namespaces"].append(entry)

    def without_namespace(self, kind: str) -> None:
        """Stay in the runtime's namespace of this type."""
        self.linux["namespaces"] = [
            entry for entry in self.linux["namespaces"] if entry["type"] != kind
        ]

    def user_namespace(self, host_id: int = 100_000, size: int = 65_536) -> None:
        """Make a user namespace that maps 0 to `host_id`, and give it the root filesystem."""
        self.namespace("user")
        mapping = {"containerID": 0, "hostID": host_id, "size": size}
        self.linux["uidMappings"] = [mapping]
        self.linux["gidMappings"] = [dict(mapping)]
        for directory, _, files in os.walk(self.rootfs):
            for name in (directory, *(os.path.join(directory, file) for file in files)):
                os.lchown(name, host_id, host_id)

    def grant(self, *capabilities: str) -> None:
        """Add capabilities to those the process has by itself."""
        for name in CAPABILITY_SETS:
            self.process["capabilities"][name] += capabilities

    def mount(
        self,
        destination: str,
        kind: str = "tmpfs",
        source: str | Path | None = None,
        options: Sequence[str] = (),
        **more: Any,
    ) -> None:
        """Append a mount; `source` is `kind` unless given."""
        entry = {"destination": destination, "type": kind, "source": str(source or kind)}
        self.config["mounts"].append({**entry, "options": list(options), **more})

    def bind(self, source: str | Path, destination: str, *options: str) -> None:
        """Append a bind mount; `options` are added to `bind` unless they have `rbind`."""
        kind = [] if "rbind" in options else ["bind"]
        self.mount(destination, "none", source, [*kind, *options])

    def hook(self, kind: str, path: str, *args: str, **more: Any) -> None:
        """Append a hook of this kind; args[0] is the path's last part."""
        entry = {"path": path, "args": [os.path.basename(path), *args], **more}
        self.config.setdefault("hooks", {}).setdefault(kind, []).append(entry)

    def write(self) -> Path:
        """Write config.json and return the bundle's directory."""
        (self.path / "config.json").write_text(json.dumps(self.config, indent=1))
        return self.path

    def _make_rootfs(self, busybox: Path) -> None:
        for name in DIRECTORIES:
            (self.rootfs / name).mkdir(parents=True)
        (self.rootfs / "tmp").chmod(0o1777)
        program = self.rootfs / "bin" / "busybox"
        shutil.copyfile(busybox, program)
        program.chmod(0o755)
        for name in APPLETS:
            (self.rootfs / "bin" / name).symlink_to("busybox")
        probe = self.rootfs / "bin" / "probe"
        shutil.copyfile(Path(__file__).with_name("probe.sh"), probe)
        probe.chmod(0o755)
