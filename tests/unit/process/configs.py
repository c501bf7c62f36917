"""Configurations that together make the planner use every kind of step."""

from __future__ import annotations

from typing import Any

from tests.support.config import base_config

PHASES = ("prestart", "createRuntime", "createContainer")


def engine_config() -> dict[str, Any]:
    """What docker writes, with everything else that a config can ask for on top."""
    config = base_config("c1", "MARK=1")
    config["process"].update(
        args=["sh"],
        cwd="/work/dir",
        oomScoreAdj=100,
        scheduler={"policy": "SCHED_BATCH", "nice": 5},
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 6},
        user={"uid": 1000, "gid": 1000, "additionalGids": [5], "umask": 0o22},
    )
    config["mounts"] += [
        {"destination": "/etc/hosts", "type": "bind", "source": "/host/hosts",
         "options": ["rbind", "ro", "rprivate"]},
        {"destination": "/etc", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"]},
        {"destination": "/etc", "options": ["remount", "ro"]},
    ]  # fmt: skip
    config["root"]["readonly"] = True
    config["domainname"] = "example"
    config["hooks"] = {phase: [{"path": "/bin/true"}] for phase in (*PHASES, "poststop")}
    config["linux"].update(
        sysctl={"net.ipv4.ip_forward": "1"},
        devices=[{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "uid": 7}],
        rootfsPropagation="rslave",
        personality={"domain": "LINUX"},
        memoryPolicy={"mode": "MPOL_BIND", "nodes": "0"},
    )
    config["linux"]["resources"].update(
        memory={"limit": 1 << 26}, pids={"limit": 10}, cpu={"shares": 512, "cpus": "0"}
    )
    return config


def user_namespace_config() -> dict[str, Any]:
    """The same in a user namespace, with a new time namespace: devices are bound, not made."""
    config = engine_config()
    config["linux"]["namespaces"] += [{"type": "user"}, {"type": "time"}]
    for kind in ("uidMappings", "gidMappings"):
        config["linux"][kind] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": 10}}
    config["linux"]["devices"] = []
    config["mounts"].append(
        {"destination": "/srv", "type": "bind", "source": "/host/hosts", "options": ["idmap"]}
    )
    return config


def joining_config() -> dict[str, Any]:
    """Joins namespaces and has no cgroup namespace: sources of cgroup mounts are opened."""
    config = engine_config()
    kinds = ("network", "ipc")
    config["linux"]["namespaces"] = [
        {"type": "pid"},
        {"type": "mount"},
        {"type": "uts"},
        *({"type": kind, "path": f"/run/ns/{kind}"} for kind in kinds),
    ]
    return config


CONFIGS = {
    "engine": engine_config,
    "user-namespace": user_namespace_config,
    "joining": joining_config,
}
