"""Strategies that make valid cases: a seed, and changes over the properties' vocabulary.

Validity is the aim, not a promise: what both peers refuse, we have to refuse, too.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.field import changes as d
from tests.field.case import Case, Change
from tests.field.generate_files import (
    BOOL,
    IMAGES,
    PROPAGATION,
    Changes,
    at,
    binds,
    devices,
    filesystems,
    some,
)
from tests.field.seeds import SEEDS

CAPABILITIES = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW", "CAP_SYS_ADMIN", "CAP_SETUID", "CAP_MKNOD"]


@st.composite
def users(draw: st.DrawFn) -> Changes:
    """process.user, with a working directory and capabilities."""
    user: dict[str, Any] = {
        "uid": draw(st.sampled_from([0, 42, 1000, 65534])),
        "gid": draw(st.sampled_from([0, 5, 1000])),
    }
    if draw(BOOL):
        user["umask"] = draw(st.sampled_from([0, 0o22, 0o27, 0o77]))
    if draw(BOOL):
        user["additionalGids"] = draw(st.lists(st.sampled_from([0, 5, 10, 1000]), max_size=4))
    return [d.at("/process/user", user)]


@st.composite
def capabilities(draw: st.DrawFn) -> Changes:
    """Sets in which the kernel's rules hold."""
    bounding = draw(some(CAPABILITIES, 5))
    few = st.lists(st.sampled_from(bounding or CAPABILITIES[:1]), max_size=3, unique=True)
    permitted = draw(few)
    inheritable = [name for name in draw(few) if name in bounding]
    ambient = [name for name in inheritable if name in permitted] if draw(BOOL) else []
    return [
        d.at(
            "/process/capabilities",
            {
                "bounding": bounding,
                "permitted": permitted,
                "effective": permitted[: draw(st.integers(0, 3))],
                "inheritable": inheritable,
                "ambient": ambient,
            },
        )
    ]


ATTRIBUTES = st.one_of(
    users(),
    capabilities(),
    at(
        "/process/cwd",
        st.sampled_from(["/", "/tmp", "/root", "/new/deep", "/l", "/etc", "/proc/self"]),
    ),
    at(
        "/process/env",
        some(["A=1", "A=2", "HOME=/x", "HOME=", "PATH=/bin", "TERM=", "X==", "é=ü"], 5),
    ),
    at("/process/noNewPrivileges", BOOL),
    at("/process/oomScoreAdj", st.sampled_from([0, 100, 1000])),
    at("/process/rlimits", st.just([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}])),
    at(
        "/process/rlimits",
        st.just(
            [
                {"type": "RLIMIT_CORE", "soft": 0, "hard": 0},
                {"type": "RLIMIT_STACK", "soft": 1 << 20, "hard": 1 << 21},
            ]
        ),
    ),
    at(
        "/process/scheduler",
        st.sampled_from(
            [
                {"policy": "SCHED_OTHER", "nice": 7},
                {"policy": "SCHED_BATCH", "nice": -3},
                {"policy": "SCHED_IDLE"},
                {"policy": "SCHED_FIFO", "priority": 5},
            ]
        ),
    ),
    at(
        "/process/ioPriority",
        st.sampled_from(
            [
                {"class": "IOPRIO_CLASS_IDLE", "priority": 0},
                {"class": "IOPRIO_CLASS_BE", "priority": 3},
                {"class": "IOPRIO_CLASS_RT", "priority": 7},
            ]
        ),
    ),
    at("/process/program", st.sampled_from(["look", "./look", "bin/look", "/bin/look", "/none"])),
    at("/linux/personality", st.just({"domain": "LINUX32"})),
    at("/linux/seccomp", st.just(d.FILTER)),
    at("/hostname", st.sampled_from(["x", "a.b-c", "h" * 64])),
    at("/domainname", st.sampled_from(["x.org", "d" * 64])),
    at(
        "/annotations", st.dictionaries(st.sampled_from(["a", "org.b"]), st.sampled_from(["", "x"]))
    ),
    at("/process/terminal", st.just(True)),
    at("/root/readonly", BOOL),
    at("/linux/rootfsPropagation", st.sampled_from([*PROPAGATION, "runbindable"])),
    at(
        "/linux/maskedPaths",
        some(["/proc/kcore", "/etc/passwd", "/home", "/none", "/proc/sys", "/l"], 4),
    ),
    at(
        "/linux/readonlyPaths",
        some(["/proc/sys", "/etc/passwd", "/home", "/none", "/mnt", "/l"], 4),
    ),
    at(
        "/linux/sysctl",
        st.sampled_from(
            [
                {"net.ipv4.ip_forward": "1"},
                {"kernel.shmmni": "2048", "net/core/somaxconn": "100"},
                {"fs.mqueue.msg_max": "20"},
                {"kernel.domainname": "x.y"},
                {"net.ipv4.ping_group_range": "0 5"},
            ]
        ),
    ),
)
RESOURCES = st.one_of(
    at("/linux/resources/pids", st.sampled_from([{"limit": 0}, {"limit": -1}, {"limit": 20}, {}])),
    at(
        "/linux/resources/memory",
        st.sampled_from(
            [
                {"limit": 1 << 26},
                {"limit": -1},
                {"reservation": 1 << 25},
                {"swappiness": 0},
                {},
                {"disableOOMKiller": True},
                {"checkBeforeUpdate": True, "limit": 1 << 27},
            ]
        ),
    ),
    at(
        "/linux/resources/cpu",
        st.sampled_from(
            [
                {"shares": 2},
                {"shares": 0},
                {"quota": 50000, "period": 100000},
                {"quota": -1},
                {"cpus": "0"},
                {"cpus": "0-1", "mems": "0"},
                {"period": 50000},
                {"cpus": "1,0"},
                {},
            ]
        ),
    ),
    at("/linux/resources/blockIO", st.sampled_from([{"weight": 0}, {"weight": 500}, {}])),
    at(
        "/linux/resources/devices",
        st.sampled_from(
            [
                [
                    {"allow": False, "access": "rwm"},
                    {"allow": True, "type": "c", "major": 10, "access": "rw"},
                ],
                [{"allow": True, "access": "rwm"}],
                [],
                [
                    {"allow": True, "access": "rwm"},
                    {"allow": False, "type": "b", "major": 7, "access": "rwm"},
                ],
            ]
        ),
    ),
    at("/linux/cgroupsPath", st.sampled_from(["/ocirt-test/@ID@", "/ocirt-test/@ID@/deep/er"])),
)
NAMESPACES = st.one_of(
    st.just(d.USERNS),
    st.sampled_from(["network", "ipc", "cgroup", "pid"]).map(d.without_namespace),
    st.just(
        [
            d.at("/linux/namespaces/-", {"type": "time"}),
            d.at("/linux/timeOffsets", {"boottime": {"secs": 7}}),
        ]
    ),
)
CALLERS = st.one_of(
    st.sampled_from(
        [
            "umask=000",
            "umask=077",
            "affinity=0",
            "affinity=1",
            "nofile=200:5000",
            "nice=5",
            "core=0:0",
            "stack=1048576:2097152",
            "slack=70000",
            "oom=300",
            "ignore=13",
            "ignore=2",
            "block=15",
            "block=17",
            "group=77",
            "subreaper=1",
            "dumpable=0",
        ]
    ).map(d.callers),
    st.sampled_from(
        [["null"] * 3, ["pipe"] * 3, ["file"] * 3, ["null-r"] * 3, ["null", "pipe", "file"]]
    ).map(lambda streams: [{"streams": streams}]),
    st.just([{"environment": {"FOO": "1", "HOME": "/x"}}]),
    st.just([d.SHARED]),
)
CALLS = st.one_of(
    st.sampled_from(
        [
            [],
            ["--user", "1000"],
            ["--user", "42:43"],
            ["--cwd", "/root"],
            ["--cwd", "/new"],
            ["--env", "X=1"],
            ["--no-new-privs"],
            ["--detach"],
        ]
    ).map(lambda options: [d.call("exec", *options)]),
    st.sampled_from(
        [
            {},
            {"user": {"uid": 1000, "gid": 5, "umask": 0o77, "additionalGids": [10]}},
            {"cwd": "/root", "env": ["A=1"]},
            {"noNewPrivileges": True},
            {"oomScoreAdj": 300},
            {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 99}]},
            {"capabilities": {"bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"]}},
        ]
    ).map(lambda process: [d.call("exec", process=process)]),
    st.sampled_from(
        [
            ["--pids-limit", "50"],
            ["--pids-limit", "-1"],
            ["--memory", "67108864"],
            ["--cpu-share", "300"],
            ["--cpu-quota", "20000", "--cpu-period", "40000"],
            ["--cpuset-cpus", "0"],
            ["--memory-reservation", "33554432"],
        ]
    ).map(lambda options: [d.call("update", *options)]),
    st.sampled_from([["TERM"], ["USR1"], ["KILL"], ["15"], ["SIGTERM"], []]).map(
        lambda words: [d.call("kill", signal=words)]
    ),
    st.just([d.call("pause"), d.call("state"), d.call("resume")]),
    st.sampled_from(["ps", "state", "start", "delete"]).map(lambda verb: [d.call(verb)]),
)
HOOKS = st.tuples(
    st.sampled_from(d.HOOKS),
    st.sampled_from([{}, {"env": ["A=1"]}, {"timeout": 9}, {"words": ["exit=3"]}]),
).map(lambda both: [{"hook": both[0], **both[1]}])
CHANGES = st.one_of(
    binds(),
    binds(),
    filesystems(),
    devices(),
    ATTRIBUTES,
    ATTRIBUTES,
    RESOURCES,
    NAMESPACES,
    CALLERS,
    IMAGES,
    CALLS,
    HOOKS,
)
LIVES: list[Change] = [{"life": "create"}, {"life": "create"}, {"life": "run"}, {"life": "detach"}]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A seed with up to five groups of changes."""
    groups = draw(st.lists(CHANGES, min_size=1, max_size=5))
    changes = [draw(st.sampled_from(LIVES)), *(change for group in groups for change in group)]
    if draw(st.integers(0, 7)) == 0:  # an ordinary user, whose configuration is another
        return Case(_few_execs([*d.ROOTLESS, *changes]))
    seed = draw(st.sampled_from(["default", "default", *SEEDS]))
    return Case(_few_execs(changes), seed)


def _few_execs(changes: Changes) -> tuple[Change, ...]:
    """There are four reports of exec, two of each kind of hook, and a terminal takes a console."""
    seen: dict[str, int] = {}
    kept = []
    for change in changes:
        kind = change.get("call") if change.get("call") == "exec" else change.get("hook")
        if kind:
            seen[kind] = seen.get(kind, 0) + 1
            if seen[kind] > (4 if kind == "exec" else 2):
                continue
        kept.append(change)
    if any(change.get("set") == "/process/terminal" for change in kept):
        kept = [change for change in kept if "streams" not in change]
        if {"life": "run"} in kept:
            kept.append({"streams": ["tty", "tty", "tty"]})
    return tuple(kept)
