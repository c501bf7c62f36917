"""The fixed cases of processes, hooks, namespaces and calls: see dimensions.py."""

from __future__ import annotations

from tests.field.changes import (
    RUN,
    USERNS,
    at,
    call,
    callers,
    link,
    without_namespace,
)

PROCESS = {
    "a hook without words": (
        "27.2",
        [at("/hooks", {"prestart": [{"path": "/bin/true", "args": [""]}]})],
    ),
    "a hook that fails": (
        "create fails",
        [at("/hooks", {"createRuntime": [{"path": "/bin/false"}]})],
    ),
    "a startContainer hook that fails": (
        "start fails",
        [{"hook": "startContainer", "words": ["exit=4"]}],
    ),
    "exec with options": (
        "flags of exec",
        [
            call("exec", "--cwd", "/new", words=[]),
            call("exec", "--no-new-privs", words=[]),
            call("exec", "--env", "X=1", words=[]),
            call("exec", "--detach", words=["exit=2"]),
        ],
    ),
    "working directory that is a link": (
        "leads in",
        [link("rootfs/w", "/var"), at("/process/cwd", "/w")],
    ),
    "working directory that is a file": ("is refused", [at("/process/cwd", "/etc/passwd")]),
    "callers": (
        "27.15, 27.18: what a caller is like does not matter",
        [
            *callers(
                "ignore=17",
                "ignore=13",
                "ignore=2",
                "block=15",
                "nofile=200:5000",
                "core=0:0",
                "stack=1048576:2097152",
                "slack=70000",
                "group=77",
                "oom=300",
            ),
            {"remove": "/process/rlimits"},
            {"environment": {"HOME": "/x", "FOO": "1"}},
        ],
    ),
    "streams are pipes": (
        "27.16: of the root of a user namespace",
        [*USERNS, {"streams": ["pipe", "pipe", "pipe"]}, call("exec", words=[])],
    ),
    "run": ("the exit status is the process's", [RUN]),
    "run --detach": ("as create and start", [{"life": "detach"}]),
    "no capabilities": (
        "none at all",
        [{"remove": "/process/capabilities"}, call("exec", words=[])],
    ),
    "attributes": (
        "scheduler, ioprio, personality, umask, groups, names",
        [
            at("/process/scheduler", {"policy": "SCHED_BATCH", "nice": 5}),
            at("/process/ioPriority", {"class": "IOPRIO_CLASS_IDLE", "priority": 7}),
            at("/linux/personality", {"domain": "LINUX32"}),
            at("/process/user/additionalGids", [10, 5, 5, 10, 0]),
            at("/process/oomScoreAdj", 100),
            at("/domainname", "example.org"),
            at("/process/env", ["A=1", "A=2", "HOME=", "PATH=/bin"]),
            at("/process/program", "look"),
            call("exec"),
        ],
    ),
    "affinity of exec": (
        "27.14: execCPUAffinity",
        [at("/process/execCPUAffinity", {"initial": "0", "final": "1"}), call("exec", words=[])],
    ),
    "a program that is missing": ("create refuses", [at("/process/program", "/not/there")]),
    "a program that is a directory": ("create refuses", [at("/process/program", "/etc")]),
}
NAMESPACES = {
    "time namespace": (
        "its offsets",
        [
            at("/linux/namespaces/-", {"type": "time"}),
            at(
                "/linux/timeOffsets",
                {"monotonic": {"secs": 100, "nanosecs": 5}, "boottime": {"secs": 50}},
            ),
            call("exec", words=[]),
        ],
    ),
    "no pid namespace": ("kill ends all", [*without_namespace("pid"), call("ps")]),
    "no network namespace": (
        "27.19: the host's is left alone",
        [
            *without_namespace("network"),
            at(
                "/mounts/5",
                {
                    "destination": "/sys",
                    "type": "bind",
                    "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
                },
            ),
            {"remove": "/mounts/6"},
        ],
    ),
    "no ipc namespace": ("the host's queues", without_namespace("ipc")),
    "annotations": (
        "in the state",
        [at("/annotations", {"a": "b", "org.x": ""}), {"hook": "prestart"}],
    ),
}
LIFE = {
    "running": (
        "calls that are refused while it runs; ps",
        [
            call("delete"),
            call("start"),
            call("ps"),
            call("kill", signal=["0"]),
            call("exec", "--detach", words=["hold"]),
            call("ps"),
        ],
    ),
    "paused": (
        "calls of a frozen container",
        [call("pause"), call("state"), call("ps"), call("resume"), call("exec")],
    ),
    "a signal": ("handled by the process", [call("kill", signal=["USR1"])]),
}
