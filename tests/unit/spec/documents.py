"""Documents the tests start from, and ways to spoil them."""

from __future__ import annotations

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]

MINIMAL: dict[str, Any] = {"ociVersion": "1.0.0", "root": {"path": "rootfs"}}

# Every property the schema knows, once, with a good value.
FULL: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "box",
    "domainname": "example.org",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/data",
            "type": "bind",
            "source": "/srv",
            "options": ["rbind", "rro", "idmap"],
            "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
            "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        },
    ],
    "process": {
        "terminal": True,
        "consoleSize": {"height": 25, "width": 80},
        "cwd": "/",
        "env": ["PATH=/bin"],
        "args": ["sh"],
        "commandLine": "cmd",
        "user": {"uid": 1, "gid": 1, "umask": 18, "additionalGids": [5], "username": "x"},
        "capabilities": {
            name: ["CAP_KILL"]
            for name in ("bounding", "effective", "permitted", "inheritable", "ambient")
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 10, "hard": 2**64 - 1}],
        "apparmorProfile": "unconfined",
        "selinuxLabel": "system_u:system_r:svirt_lxc_net_t:s0:c124,c675",
        "oomScoreAdj": 100,
        "noNewPrivileges": True,
        "scheduler": {
            "policy": "SCHED_DEADLINE",
            "nice": 0,
            "priority": 0,
            "flags": ["SCHED_FLAG_RESET_ON_FORK"],
            "runtime": 10000,
            "deadline": 20000,
            "period": 30000,
        },
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 4},
        "execCPUAffinity": {"initial": "0-1", "final": "0,1"},
    },
    "hooks": {
        kind: [{"path": "/bin/true", "args": ["true"], "env": ["A=b"], "timeout": 5}]
        for kind in (
            "prestart",
            "createRuntime",
            "createContainer",
            "startContainer",
            "poststart",
            "poststop",
        )
    },
    "annotations": {"org.example.key": "value"},
    "linux": {
        "namespaces": [
            *({"type": kind} for kind in ("mount", "pid", "uts", "ipc", "user", "cgroup", "time")),
            {"type": "network", "path": "/proc/1/ns/net"},
        ],
        "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "gidMappings": [{"containerID": 0, "hostID": 1000, "size": 10}],
        "timeOffsets": {
            "monotonic": {"secs": -5, "nanosecs": 3},
            "boottime": {"secs": 172800, "nanosecs": 999999999},
        },
        "devices": [
            {
                "type": "c",
                "path": "/dev/fuse",
                "major": 10,
                "minor": 229,
                "fileMode": 438,
                "uid": 0,
                "gid": 0,
            },
            {"type": "p", "path": "/dev/pipe"},
        ],
        "netDevices": {"eth0": {"name": "net0"}, "eth1": {}},
        "cgroupsPath": "/box/one",
        "resources": {
            "unified": {"memory.high": "1000000"},
            "devices": [{"allow": False, "type": "a", "major": -1, "minor": 5, "access": "rwm"}],
            "memory": {
                "limit": 2**30,
                "reservation": 2**29,
                "swap": 2**31,
                "kernel": -1,
                "kernelTCP": -1,
                "swappiness": 60,
                "disableOOMKiller": False,
                "useHierarchy": True,
                "checkBeforeUpdate": False,
            },
            "cpu": {
                "shares": 1024,
                "quota": 50000,
                "burst": 1000,
                "period": 100000,
                "realtimeRuntime": 950000,
                "realtimePeriod": 1000000,
                "cpus": "0-1,3",
                "mems": "0",
                "idle": 0,
            },
            "blockIO": {
                "weight": 10,
                "leafWeight": 0,
                "weightDevice": [{"major": 8, "minor": 0, "weight": 500, "leafWeight": 300}],
                **{
                    name: [{"major": 8, "minor": 0, "rate": 600}]
                    for name in (
                        "throttleReadBpsDevice",
                        "throttleWriteBpsDevice",
                        "throttleReadIOPSDevice",
                        "throttleWriteIOPSDevice",
                    )
                },
            },
            "hugepageLimits": [{"pageSize": "2MB", "limit": 9000000}],
            "network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 5}]},
            "pids": {"limit": 100},
            "rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}},
        },
        "rootfsPropagation": "slave",
        "seccomp": {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "architectures": ["SCMP_ARCH_X86_64"],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "listenerPath": "/run/agent.sock",
            "listenerMetadata": "x",
            "syscalls": [
                {
                    "names": ["openat"],
                    "action": "SCMP_ACT_ERRNO",
                    "errnoRet": 1,
                    "args": [
                        {"index": 0, "value": 1, "valueTwo": 5, "op": "SCMP_CMP_MASKED_EQ"},
                    ],
                }
            ],
        },
        "sysctl": {"net.ipv4.ip_forward": "1", "kernel/shmmax": "100"},
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "mountLabel": "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811",
        "intelRdt": {
            "closID": "guaranteed",
            "schemata": ["L3:0=ff", "MB:0=20"],
            "l3CacheSchema": "L3:0=7f0;1=1f",
            "memBwSchema": "MB:0=20;1=70",
            "enableMonitoring": True,
        },
        "memoryPolicy": {
            "mode": "MPOL_INTERLEAVE",
            "nodes": "0-1",
            "flags": ["MPOL_F_STATIC_NODES"],
        },
        "personality": {"domain": "LINUX32", "flags": []},
    },
}

# What a mutation puts in the place of a value: wrong types, limits and one beyond, odd strings.
ODD_VALUES: tuple[Any, ...] = (
    None,
    True,
    "",
    "a",
    "/",
    "a/b",
    ".",
    "x\n",
    "/x\n",
    "0-3\n",
    "rwx",
    "2MB\n",
    "02MB",
    "1.0",
    "1.0.0-",
    "01.0.0",
    "1.0.0+a_b",
    "MB:",
    "MB:\n",
    "é" * 65,
    "CAP_KILL",
    0,
    1,
    -1,
    -2,
    7,
    8,
    20,
    101,
    1001,
    4096,
    65536,
    2**20,
    2**31,
    2**32 - 1,
    2**32,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
    1.5,
    [],
    [""],
    [0],
    [None],
    ["x"],
    {},
    {"a": 1},
    {"": ""},
    {"path": 1},
)


def oracle() -> Path:
    """The directory of specification data; skips the test where there is none."""
    place = os.environ.get("OCIRUNTIME_ORACLE") or CHECKOUT.parent / "shared" / "oracle"
    if not Path(place).is_dir():
        pytest.skip(f"no specification data at {place} (set OCIRUNTIME_ORACLE)")
    return Path(place)


def corpus() -> list[Path]:
    """Configurations that real engines wrote."""
    return sorted((oracle() / "corpus").glob("*.json"))


def full() -> dict[str, Any]:
    """A fresh copy of FULL."""
    return copy.deepcopy(FULL)


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of everything in ``value``."""
    yield path
    inside: Any = ()
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, list):
        inside = enumerate(value)
    for step, inner in inside:
        yield from places(inner, (*path, step))


def focused(path: tuple[str | int, ...]) -> dict[str, Any]:
    """As much of FULL as the place ``path`` needs around it: quicker to look at."""
    document = copy.deepcopy(MINIMAL)
    if path:
        document[str(path[0])] = copy.deepcopy(FULL[str(path[0])])
    if path[:1] == ("linux",) and len(path) > 1:
        document["linux"] = {path[1]: document["linux"][path[1]]}
    return document


def put(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """``document`` with ``value`` at ``path`` (changed in place; returned for the empty path)."""
    if not path:
        return value
    around = document
    for step in path[:-1]:
        around = around[step]
    around[path[-1]] = value
    return document


def mutated(document: Any, chance: random.Random) -> Any:
    """A copy of ``document`` with one thing replaced, removed, renamed or added."""
    document = copy.deepcopy(document)
    path = chance.choice(list(places(document))[1:])
    around = document
    for step in path[:-1]:
        around = around[step]
    kind = chance.randrange(5)
    if kind == 0:
        del around[path[-1]]
    elif kind == 1 and isinstance(around, dict):
        name = chance.choice(["", "a/b", "x" * 16, f"{path[-1]}x", "eth 0"])
        around[name] = around.pop(path[-1])
    elif kind == 2 and isinstance(around, list):
        around.append(chance.choice(ODD_VALUES))
    else:
        around[path[-1]] = copy.deepcopy(chance.choice(ODD_VALUES))
    return document


def encoded(document: Any) -> bytes:
    """``document`` as JSON text."""
    return json.dumps(document, indent=1).encode()
