"""Work that leads to nothing, for the start image: afterwards the interpreter has specialized the
code of a command's planning half (PEP 659) and filled its caches, and every command finds it so.

Nothing of the machine is read or changed here, so the image knows nothing about it.
"""

from __future__ import annotations

from ociruntime.cgroups.detect import HYBRID, Hierarchy, Layout
from ociruntime.cli.create import ALIASES, OPTIONS
from ociruntime.cli.options import parse
from ociruntime.jsontext import dumps
from ociruntime.plan.build import build
from ociruntime.plan.host import Host
from ociruntime.plan.options import CreateOptions
from ociruntime.spec import load
from ociruntime.state.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The interpreter counts eight calls before it looks at a function, and some more at each operation.
TIMES = 40


def warm_up() -> None:
    """Check and plan an example again and again."""
    host = Host(0, 0, (1 << 41) - 1, 40, _layout(), in_userns=False)
    for _ in range(TIMES):
        parse(["--bundle", "/b", "warm"], OPTIONS, ALIASES, stop_at_argument=False, command="run")
        document = _document()
        text = dumps(document).encode()
        load(text, document, source="config.json")
        build(document, text, host, CreateOptions("warm", Store("/nowhere"), "/b"))


def _layout() -> Layout:
    names = ("cpu", "memory", "devices", "freezer", "pids")
    hierarchies = [Hierarchy(name, (name,), f"/c/{name}", "/", "/") for name in names]
    return Layout(HYBRID, [*hierarchies, Hierarchy("", (), "/c/unified", "/", "/")])


def _document() -> dict[str, Any]:
    secure = ["nosuid", "noexec", "nodev"]
    argument = {"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"]},
            "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "warm",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": [*secure, "ro"]},
            {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"},
            {"destination": "/etc/x", "type": "bind", "source": "/x", "options": ["rbind", "ro"]},
        ],
        "linux": {
            "namespaces": [
                {"type": name} for name in ("pid", "network", "ipc", "uts", "mount", "cgroup")
            ],
            "resources": {
                "devices": [{"allow": False, "access": "rwm"}],
                "memory": {"limit": 1 << 28},
                "cpu": {"shares": 512},
                "pids": {"limit": 100},
            },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "defaultErrnoRet": 1,
                "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [
                    {"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [argument]},
                    {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
                ],
            },
            "maskedPaths": ["/proc/kcore"],
            "readonlyPaths": ["/proc/sys"],
        },
    }
