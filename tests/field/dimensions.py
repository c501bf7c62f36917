"""The fixed cases of `make test`: every dimension once, several that do not meet in one case.

Each says in `finds` what it is there for: faults that were there before this oracle was (issues of
the tracker, by their number and item) or the property it goes through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.field.case import Case
from tests.field.changes import at, call, without_namespace
from tests.field.dimensions_files import DEVICES, OPTIONS, TARGETS
from tests.field.dimensions_process import LIFE, NAMESPACES, PROCESS


@dataclass(frozen=True)
class Dimension:
    """`finds` is for people: what differs where this is wrong."""

    finds: str
    case: Case


MIB = 1 << 20
# Options that both peers have, each alone and on top of what the ones before have set; and what is
# asked for by a file only. Their values are compared after each.
UPDATES: list[tuple[str, ...] | dict[str, Any]] = [
    ("--blkio-weight", "321"),
    ("--cpu-period", "50000"),
    ("--cpu-quota", "20000"),
    ("--cpu-quota", "0"),
    ("--cpu-quota", "-1"),
    ("--cpu-share", "300"),
    ("--cpu-share", "0"),
    ("--cpu-rt-period", "500000"),
    ("--cpu-rt-runtime", "0"),
    ("--cpuset-cpus", "0"),
    ("--cpuset-mems", "0"),
    ("--kernel-memory", "64M"),
    ("--memory", str(64 * MIB)),
    ("--memory-reservation", str(32 * MIB)),
    ("--memory-reservation", "-1"),
    ("--memory-swap", str(MIB)),
    ("--memory", str(64 * MIB), "--memory-swap", str(128 * MIB)),
    ("--memory-swap", "-1"),
    ("--pids-limit", "50"),
    {"cpu": {"quota": 40000, "period": 20000, "burst": 1000}},
    {"cpu": {"burst": 0}},
    {"cpu": {"idle": 1}},
    {"cpu": {"idle": 0}},
    {"memory": {"limit": 4096, "checkBeforeUpdate": True}},
    {"memory": {"limit": 48 * MIB, "swap": 96 * MIB, "reservation": 16 * MIB}},
    {"hugepageLimits": [{"pageSize": "2MB", "limit": 2 * MIB}]},
    {"unified": {"memory.high": "67108864"}},
    {},
    {"nosuch": {"a": 1}},
]
CGROUPS = {
    "update, one by one": (
        "23.2: every option and member that both peers change",
        [
            call("update", *one) if isinstance(one, tuple) else call("update", resources=one)
            for one in UPDATES
        ],
    ),
    "resources": (
        "values of every controller",
        [
            at(
                "/linux/resources/cpu",
                {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1", "mems": "0"},
            ),
            at(
                "/linux/resources/memory",
                {"limit": 1 << 26, "reservation": 1 << 25, "swappiness": 10},
            ),
            at("/linux/resources/pids", {"limit": 20}),
            at("/linux/resources/blockIO", {"weight": 300}),
            at(
                "/linux/resources/devices/-",
                {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            ),
            call("update", "--pids-limit", "50", "--memory", "33554432", "--cpu-share", "300"),
            call(
                "update",
                resources={"pids": {"limit": 33}, "cpu": {"quota": 20000, "period": 50000}},
            ),
            call("update", "--pids-limit", "0"),
            call("update", resources={"pids": {"limit": 0}}),
            call("update", "--pids-limit", "-1"),
        ],
    ),
    "no cgroup namespace": ("27.20, 27.35: what /sys/fs/cgroup shows", without_namespace("cgroup")),
    "a cgroup mount to write in": (
        "27.35",
        [at("/mounts/6/options", ["nosuid", "noexec", "nodev", "relatime", "rw"])],
    ),
    "pids.limit 0, as of old": ("27.23: unlimited", [at("/linux/resources/pids", {"limit": 0})]),
    "pids.limit 0 since 1.3.0": (
        "27.23",
        [at("/ociVersion", "1.3.0"), at("/linux/resources/pids", {"limit": 0})],
    ),
    "pids without limit": ("27.23", [at("/linux/resources/pids", {})]),
    "lists of cpus": ("27.24", [at("/linux/resources/cpu", {"cpus": "0-1:1/2"})]),
    "kernelTCP": ("27.24", [at("/linux/resources/memory", {"kernelTCP": 1 << 26})]),
}
ACCEPTED = {
    "null is absent": (
        "27.25",
        [
            at(pointer, None)
            for pointer in (
                "/process/user/umask",
                "/process/oomScoreAdj",
                "/process/rlimits",
                "/linux/devices",
                "/hooks",
                "/annotations",
                "/linux/seccomp",
                "/linux/intelRdt",
                "/linux/sysctl",
                "/linux/resources/memory",
                "/process/apparmorProfile",
                "/hostname",
            )
        ],
    ),
    "no gid": ("27.25: 0", [at("/process/user", {"uid": 5})]),
    "no priority": ("27.25: 0", [at("/process/ioPriority", {"class": "IOPRIO_CLASS_BE"})]),
    "an unknown capability": (
        "a warning",
        [at("/process/capabilities", {"bounding": ["CAP_NOSUCH", "CAP_KILL"]})],
    ),
    "no masks, no hostname": (
        "what is absent is not done",
        [
            {"remove": "/hostname"},
            {"remove": "/linux/maskedPaths"},
            {"remove": "/linux/readonlyPaths"},
        ],
    ),
}
DIMENSIONS = {
    f"{subject}: {name}": Dimension(finds, Case.of(*changes))
    for subject, group in {
        "target": TARGETS,
        "mount": OPTIONS,
        "device": DEVICES,
        "process": PROCESS,
        "namespace": NAMESPACES,
        "cgroup": CGROUPS,
        "accepted": ACCEPTED,
        "life": LIFE,
    }.items()
    for name, (finds, changes) in group.items()
}
