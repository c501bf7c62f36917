"""The configuration that ``spec`` writes: a shell in a container that is confined as engines
confine theirs.

No set of capabilities is inheritable, and so none ambient (CVE-2022-29162); whatever is mounted
below /proc and /sys for the host's eyes only is masked.
"""

from __future__ import annotations

from ociruntime import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Config = dict[str, Any]

CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")
NAMESPACES = ("pid", "network", "ipc", "uts", "mount", "cgroup")
MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

# The group tty, which owns terminals, has this gid on every distribution.
TTY_GROUP = "gid=5"


def default_config() -> Config:
    """A new configuration for root (config.md)."""
    return {
        "ociVersion": SPEC_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": list(CAPABILITIES),
                "effective": list(CAPABILITIES),
                "permitted": list(CAPABILITIES),
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "ociruntime",
        "mounts": _mounts(),
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": name} for name in NAMESPACES],
            "maskedPaths": list(MASKED_PATHS),
            "readonlyPaths": list(READONLY_PATHS),
        },
    }


def rootless_config(uid: int, gid: int) -> Config:
    """A new configuration for the user ``uid`` with the group ``gid``, who is root inside.

    What only root of the host may do is left out: a network of its own that nobody could connect,
    limits, a new sysfs (the host's is bound instead, read-only with everything below it:
    CVE-2023-25809), terminals for a group that is not mapped.
    """
    config = default_config()
    linux = config["linux"]
    del linux["resources"]
    linux["namespaces"] = [{"type": name} for name in ("user", *NAMESPACES) if name != "network"]
    linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
    linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
    mounts = [entry for entry in config["mounts"] if not entry["destination"].startswith("/sys")]
    for entry in mounts:
        if entry["type"] == "devpts":
            entry["options"].remove(TTY_GROUP)
    options = ["rbind", "nosuid", "noexec", "nodev", "rro"]
    mounts.append(_mount("/sys", "none", "/sys", *options))
    config["mounts"] = mounts
    return config


def _mounts() -> list[Config]:
    return [
        _mount("/proc", "proc", "proc", "nosuid", "noexec", "nodev"),
        _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        _mount(
            "/dev/pts",
            "devpts",
            "devpts",
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            TTY_GROUP,
        ),
        _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),  # noqa: S108
        _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
        _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
    ]


def _mount(destination: str, kind: str, source: str, *options: str) -> Config:
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}
