"""The example bundles: what each changes in the configuration that `ociruntime spec` writes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ociruntime.spec.default import default_config, rootless_config

if TYPE_CHECKING:
    from collections.abc import Callable

    Config = dict[str, Any]

# What a subordinate id range looks like in /etc/subuid; none of these ids has files on a host.
MAPPED_ID = 100_000
MAPPED_IDS = 65_536
MEBIBYTE = 1 << 20


def hello() -> Config:
    """print a greeting, the processes and the mounts, and end"""
    return script(
        'echo "Hello from $(hostname)"',
        "ps -ef",
        """awk '{ print "mount " $2 " (" $3 ")" }' /proc/mounts""",
        hostname="hello",
    )


def service() -> Config:
    """run until SIGTERM comes"""
    return script(
        "trap 'echo goodbye; exit 0' TERM",
        "echo ready",
        "while :; do sleep 60 & wait $!; done",
        hostname="service",
    )


def shell() -> Config:
    """a shell on a terminal of its own, on a root filesystem that can be written"""
    config = default_config()
    config["hostname"] = "shell"
    config["root"]["readonly"] = False
    return config


def userns() -> Config:
    """root of the container is uid 100000 of the host"""
    config = script("id", "cat /proc/self/uid_map", "touch /tmp/mine", hostname="userns")
    linux = config["linux"]
    linux["namespaces"].append({"type": "user"})
    mapping = {"containerID": 0, "hostID": MAPPED_ID, "size": MAPPED_IDS}
    linux["uidMappings"] = [mapping]
    linux["gidMappings"] = [mapping]
    config["mounts"].append(_tmpfs("/tmp"))  # noqa: S108
    return config


def rootless() -> Config:
    """for the calling user, without any privilege"""
    config = rootless_config(os.geteuid(), os.getegid())
    return _run(config, "id", "cat /proc/self/uid_map", hostname="rootless")


def limits() -> Config:
    """at most 32 MiB of memory, 16 processes and half a CPU"""
    config = script(
        "cd /sys/fs/cgroup",
        "for file in */memory.limit_in_bytes */pids.max */cpu.cfs_quota_us *.max; do",
        '    if [ -f "$file" ]; then echo "$file: $(cat "$file")"; fi',
        "done",
        hostname="limits",
    )
    config["linux"]["resources"] |= {
        "memory": {"limit": 32 * MEBIBYTE},
        "pids": {"limit": 16},
        "cpu": {"quota": 50_000, "period": 100_000},
    }
    return config


def hooks() -> Config:
    """three hooks, which append their state documents to hooks.log in the bundle"""
    config = script("echo the program", hostname="hooks")
    # $0 is the kind of the hook, standard input the state document.
    command = r"""
        state=$(cat)
        bundle=$(printf %s "$state" | sed 's/.*"bundle": *"\([^"]*\)".*/\1/')
        printf '%s %s\n' "$0" "$state" >> "$bundle/hooks.log"
    """
    config["hooks"] = {
        phase: [{"path": "/bin/sh", "args": ["sh", "-c", command, phase], "timeout": 5}]
        for phase in ("createRuntime", "poststart", "poststop")
    }
    return config


def sysctl() -> Config:
    """kernel parameters of the container's own namespaces"""
    config = script("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni", hostname="sysctl")
    config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shmmni": "2048"}
    return config


def user() -> Config:
    """an ordinary user with one additional group, a umask and no capability"""
    config = script("id", "umask", "grep Cap /proc/self/status", hostname="user")
    config["process"]["user"] = {"uid": 1000, "gid": 1000, "umask": 0o077, "additionalGids": [5]}
    config["process"]["capabilities"] = {}
    return config


RECIPES: dict[str, Callable[[], Config]] = {
    recipe.__name__: recipe
    for recipe in (hello, service, shell, userns, rootless, limits, hooks, sysctl, user)
}


def script(*lines: str, hostname: str) -> Config:
    """The default configuration with shell commands for its program."""
    return _run(default_config(), *lines, hostname=hostname)


def _run(config: Config, *lines: str, hostname: str) -> Config:
    """Make ``config`` execute shell commands without a terminal; the first that fails ends it."""
    config["hostname"] = hostname
    config["process"]["terminal"] = False
    config["process"]["args"] = ["sh", "-ec", "\n".join(lines)]
    return config


def _tmpfs(destination: str) -> dict[str, Any]:
    options = ["nosuid", "nodev", "noexec", "mode=1777", "size=1m"]
    return {"destination": destination, "type": "tmpfs", "source": "tmpfs", "options": options}
