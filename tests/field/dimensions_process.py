"""The fixed cases of processes, hooks, namespaces and calls: see dimensions.py."""

from __future__ import annotations

from tests.field.changes import (
    FILTER,
    INSIDE,
    ROOTLESS,
    RUN,
    USER,
    USERNS,
    at,
    bind,
    call,
    callers,
    device,
    hooks,
    link,
    put,
    without_namespace,
)

PROCESS = {
    "hooks": (
        "27.1, 27.2, 27.14, 27.19: what hooks of every kind are and see",
        [
            *hooks(),
            USER,
            at("/process/cwd", "/tmp"),
            {"environment": {"FOO": "bar"}},
            *callers("umask=027", "affinity=1", "nice=3"),
            at("/annotations", {"a": "b"}),
        ],
    ),
    "hooks with an environment": ("27.1, 27.2", [*hooks(env=["A=1"]), *callers("umask=027")]),
    "hooks and the process's limits": (
        "27.1: no_new_privs, filter, oom score, limits",
        [
            *hooks(),
            at("/process/noNewPrivileges", True),
            at("/linux/seccomp", FILTER),
            at("/process/oomScoreAdj", 200),
            at("/process/rlimits", [{"type": "RLIMIT_NOFILE", "soft": 300, "hard": 400}]),
        ],
    ),
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
    "exec": (
        "27.3, 27.14, 27.16: identity by flags and by --process",
        [
            USER,
            *callers("affinity=1", "umask=077"),
            call("exec"),
            call("exec", "--user", "42:43", words=[]),
            call("exec", process={}, words=[]),
            call(
                "exec",
                process={
                    "user": {"uid": 5, "gid": 6, "umask": 0o77},
                    "cwd": "/tmp",
                    "noNewPrivileges": True,
                },
                words=[],
            ),
        ],
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
    "working directory of another": (
        "27.13: /root, which user 42 may not enter",
        [
            at("/process/user", {"uid": 42, "gid": 42}),
            at("/process/cwd", "/root"),
            call("exec", "--cwd", "/root", words=[]),
        ],
    ),
    "working directory that is made": ("owner and mode", [at("/process/cwd", "/work/deep"), USER]),
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
    "a caller with few descriptors": (
        "27.18",
        [*callers("nofile=100:4096"), *[bind(f"/mnt/{n}") for n in range(120)]],
    ),
    "streams are files": ("27.16: /dev/stdout of another user", [USER, RUN]),
    "streams are pipes": (
        "27.16: of the root of a user namespace",
        [*USERNS, {"streams": ["pipe", "pipe", "pipe"]}, call("exec", words=[])],
    ),
    "streams are null devices": (
        "27.33: opened for reading alone",
        [{"streams": ["null-r", "null-r", "null-r"]}],
    ),
    "terminal": (
        "size, session, owner",
        [
            at("/process/terminal", True),
            at("/process/consoleSize", {"height": 33, "width": 99}),
            USER,
        ],
    ),
    "terminal of run": (
        "27.17: how it is set",
        [at("/process/terminal", True), {"streams": ["tty", "tty", "tty"]}, RUN],
    ),
    "terminal of exec": (
        "27.17: how it is set",
        [{"streams": ["tty", "tty", "tty"]}, call("exec", "--tty", words=[])],
    ),
    "run": ("the exit status is the process's", [RUN]),
    "run --detach": ("as create and start", [{"life": "detach"}]),
    "capabilities": (
        "all five sets, and those of exec",
        [
            at(
                "/process/capabilities",
                {
                    "bounding": ["CAP_NET_RAW", "CAP_KILL"],
                    "effective": ["CAP_KILL"],
                    "permitted": ["CAP_KILL", "CAP_NET_RAW"],
                    "inheritable": ["CAP_KILL"],
                    "ambient": ["CAP_KILL"],
                },
            ),
            USER,
            {"hook": "startContainer"},
            call("exec", words=[]),
            call("exec", process={}, words=[]),
        ],
    ),
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
    "user namespace": (
        "27.19, 27.31: hooks, exec, a source that only the caller reaches",
        [
            *USERNS,
            *hooks(),
            put("host/closed", "directory", mode="0700"),
            put("host/closed/dir", "directory"),
            bind("/mnt", "@CASE@/host/closed/dir"),
            call("exec", words=[]),
            call("exec", "--user", "1000", words=[]),
        ],
    ),
    "rootless": (
        "27.31: an ordinary user and his files; hooks, exec",
        [
            *ROOTLESS,
            *hooks(),
            put("host/closed", "directory", mode="0700"),
            put("host/closed/dir", "directory"),
            bind("/mnt", "@CASE@/host/closed/dir"),
            device("/dev/fuse", "10:229"),
            call("exec", words=[]),
            call("exec", process={}, words=[]),
        ],
    ),
    "rootless, with files for streams": ("27.16", [*ROOTLESS, RUN]),
    "root of a user namespace": (
        "27.31: his own files; hooks, clocks",
        [
            *INSIDE,
            *hooks(),
            put("host/closed", "directory", mode="0700"),
            put("host/closed/dir", "directory"),
            bind("/mnt", "@CASE@/host/closed/dir"),
            at("/linux/namespaces/-", {"type": "time"}),
            at("/linux/timeOffsets", {"boottime": {"secs": 50}}),
        ],
    ),
    "another user namespace in one's own": (
        "27.31: the ids of both, sources that only the caller reaches",
        [
            *INSIDE,
            at("/linux/namespaces/-", {"type": "user"}),
            at("/linux/uidMappings", [{"containerID": 0, "hostID": 0, "size": 1}]),
            at("/linux/gidMappings", [{"containerID": 0, "hostID": 0, "size": 1}]),
            put("host/closed", "directory", mode="0700"),
            put("host/closed/dir", "directory"),
            bind("/mnt", "@CASE@/host/closed/dir"),
        ],
    ),
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
    "no mount namespace": (
        "27.9",
        [*without_namespace("mount"), at("/linux/maskedPaths", []), at("/linux/readonlyPaths", [])],
    ),
    "no ipc namespace": ("the host's queues", without_namespace("ipc")),
    "sysctls": (
        "27.25: dots and slashes; a value that ends a line",
        [
            at(
                "/linux/sysctl",
                {
                    "net.ipv4.ip_forward": "1\n",
                    "kernel.shmmni": "2048",
                    "net/core/somaxconn": "100",
                    "fs.mqueue.msg_max": "20",
                },
            )
        ],
    ),
    "seccomp": (
        "27.25: errno, unknown names",
        [
            at(
                "/linux/seccomp",
                {
                    **FILTER,
                    "syscalls": [
                        {
                            "names": ["nosuch", "chmod", "unshare"],
                            "action": "SCMP_ACT_ERRNO",
                            "errnoRet": 5,
                        }
                    ],
                },
            ),
            USER,
            call("exec", words=[]),
        ],
    ),
    "annotations": (
        "in the state",
        [at("/annotations", {"a": "b", "org.x": ""}), {"hook": "prestart"}],
    ),
}
LIFE = {
    "nothing": (
        "27.26: calls where there is no container",
        [
            {"before": "state", "options": ["none"]},
            {"before": "kill", "options": ["none", "KILL"]},
            {"before": "delete", "options": ["none"]},
            {"before": "delete", "options": ["--force", "none"]},
            {"before": "ps", "options": ["none"]},
        ],
    ),
    "given by a pipe": (
        "27.3: --process and --resources may be a FIFO",
        [
            call("exec", process={}, fifo=True, words=[]),
            call("update", resources={"pids": {"limit": 33}}, fifo=True),
        ],
    ),
    "stopped": (
        "27.26: calls after the process ended",
        [
            call("kill", signal=["TERM"]),
            call("state"),
            call("exec"),
            call("pause"),
            call("kill", signal=["KILL"]),
            call("start"),
        ],
    ),
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
