"""Every rule that relates several values: one good case and the bad ones."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ociruntime.bundle import parse
from ociruntime.spec.checks import BAD
from ociruntime.spec.config_check import CONFIG
from ociruntime.spec.fault import ERROR, NOTE, WARNING, is_number_list
from ociruntime.spec.semantic import check
from ociruntime.spec.semantic.mounts import normal
from ociruntime.spec.sysctl import sysctl_namespace, sysctl_path

from .documents import FULL, MINIMAL, corpus


def namespaces(*kinds: str, **joined: str) -> list[dict[str, str]]:
    return [{"type": kind} for kind in kinds] + [
        {"type": kind, "path": path} for kind, path in joined.items()
    ]


def ids(*ranges: tuple[int, int, int]) -> list[dict[str, int]]:
    return [{"containerID": c, "hostID": h, "size": s} for c, h, s in ranges]


def process(**properties: Any) -> dict[str, Any]:
    return {"process": {"cwd": "/", "args": ["sh"], **properties}}


def linux(**properties: Any) -> dict[str, Any]:
    return {"linux": properties}


def mounts(*entries: dict[str, Any], **properties: Any) -> dict[str, Any]:
    properties.setdefault("namespaces", namespaces("mount"))
    return {"mounts": list(entries), "linux": properties}


def userns(uids: list[dict[str, int]], gids: list[dict[str, int]], **more: Any) -> dict[str, Any]:
    owned = {"namespaces": namespaces("user", "mount"), "uidMappings": uids, "gidMappings": gids}
    return owned | more


def resources(**properties: Any) -> dict[str, Any]:
    return linux(resources=properties)


def seccomp(**properties: Any) -> dict[str, Any]:
    return linux(seccomp={"defaultAction": "SCMP_ACT_ALLOW", **properties})


def rule(action: str, **properties: Any) -> dict[str, Any]:
    return {"names": ["mkdir"], "action": action, **properties}


def policy(mode: str, **properties: Any) -> dict[str, Any]:
    return linux(memoryPolicy={"mode": mode, **properties})


RANGE = ids((0, 1000, 10))
TMPFS = {"destination": "/t", "type": "tmpfs"}
BIND = {"destination": "/b", "type": "bind", "source": "/s", "options": ["rbind"]}
ONE_RT = {"policy": "SCHED_FIFO", "priority": 1}
DEADLINE = {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000, "period": 4000}

GOOD: list[dict[str, Any]] = [
    {},
    {"ociVersion": "1.0.2-dev"},
    {"ociVersion": "1.3.0+build.5"},
    {"hostname": "a" * 64, "domainname": "b", "linux": {"namespaces": namespaces("uts")}},
    {"hostname": "a", "linux": {"namespaces": namespaces(uts="/proc/1/ns/uts")}},
    {"hostname": ""},
    process(user={"uid": 9, "gid": 9, "additionalGids": [0]}) | linux(**userns(RANGE, RANGE)),
    process(user={"uid": 99, "gid": 99}) | linux(namespaces=namespaces(user="/proc/1/ns/user")),
    process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}]),
    process(terminal=True, consoleSize={"height": 65535, "width": 1}),
    process(consoleSize={"height": 2**40, "width": 1}),
    process(terminal=False, consoleSize={"height": 2**40, "width": 1}),
    process(scheduler=ONE_RT),
    process(scheduler={"policy": "SCHED_OTHER", "nice": -5}),
    process(scheduler=DEADLINE),
    process(scheduler=DEADLINE | {"period": 0}),
    process(env=["A=", "B=c=d"]),
    process(execCPUAffinity={"initial": "", "final": "0-3, 7"}),
    process(capabilities={"effective": ["CAP_KILL"], "permitted": ["CAP_KILL"]}),
    mounts(TMPFS, BIND),
    mounts(TMPFS, namespaces=namespaces(mount="/proc/1/ns/mnt")),
    mounts(TMPFS | {"destination": "/proc/cpuinfo"}, {"destination": "/proc", "type": "proc"}),
    mounts(TMPFS | {"destination": "/proc/net/dev"}),
    mounts(TMPFS | {"destination": "/procfs"}),
    mounts({"destination": "/x", "source": "/s", "options": ["bind"]}),
    mounts({"destination": "/x", "options": ["remount", "ro"]}),
    mounts(BIND | {"uidMappings": RANGE, "gidMappings": RANGE}),
    mounts(BIND | {"options": ["bind", "idmap"]}, **userns(RANGE, RANGE)),
    mounts(BIND | {"options": ["bind", "idmap=uids=0-1-10#10-20-1;gids=0-1-10"]}),
    mounts(BIND | {"options": ["ridmap=uids=@3-0-5;gids=@3-0-5"]}, **userns(RANGE, RANGE)),
    mounts({"destination": "/b", "source": "/b", "options": ["ro,rbind"]}),
    mounts({"destination": "/b", "type": "none", "options": ["ro,remount"]}),
    mounts(BIND | {"options": ["bind", "idmap"]},
           namespaces=namespaces("mount", user="/proc/1/ns/user")),
    mounts(TMPFS | {"options": ["gid=5", "uid=9", "mode=1777"]}, **userns(RANGE, RANGE)),
    mounts(TMPFS | {"options": ["gid=500"]}),
    linux(namespaces=namespaces("user"), uidMappings=ids((0, 5, 1), (1, 9, 1)),
          gidMappings=ids((0, 0, 4294967295))),
    linux(namespaces=namespaces(user="/proc/1/ns/user"), uidMappings=RANGE, gidMappings=RANGE),
    linux(namespaces=namespaces("time"), timeOffsets={"boottime": {"secs": 1}}),
    linux(namespaces=namespaces("ipc", "network", "uts"),
          sysctl={"kernel.shmmax": "1\n", "kernel/sem": "1", "fs.mqueue.msg_max": "5",
                  "net.ipv4.ping_group_range": "0\t5", "kernel.domainname": "x"}),
    linux(namespaces=namespaces("user"), uidMappings=RANGE, gidMappings=RANGE,
          sysctl={"user.max_user_namespaces": "0"}),
    linux(namespaces=namespaces("mount"), maskedPaths=["/a"], readonlyPaths=["/a"]),
    linux(maskedPaths=[], readonlyPaths=[]),
    linux(devices=[{"type": "p", "path": "/dev/x"}]),
    linux(devices=[{"type": "u", "path": "/dev/x", "major": 1, "minor": 3, "fileMode": 8630}]),
    linux(namespaces=namespaces("network"), netDevices={"a": {}, "b": {"name": "c"}}),
    linux(namespaces=namespaces("network"),
          netDevices={"a": {"name": "e%d"}, "b": {"name": "e%d"}}),
    seccomp(syscalls=[rule("SCMP_ACT_ERRNO", errnoRet=1), rule("SCMP_ACT_TRACE", errnoRet=1)]),
    seccomp(defaultAction="SCMP_ACT_ERRNO", defaultErrnoRet=38),
    seccomp(syscalls=[rule("SCMP_ACT_NOTIFY")], listenerPath="/s", listenerMetadata="m"),
    seccomp(syscalls=[rule("SCMP_ACT_NOTIFY")])
    | {"annotations": {"run.oci.seccomp.receiver": "/s"}},
    linux(intelRdt={"closID": "/"}),
    policy("MPOL_DEFAULT"),
    policy("MPOL_LOCAL", nodes=""),
    policy("MPOL_PREFERRED"),
    policy("MPOL_BIND", nodes="0-1", flags=["MPOL_F_NUMA_BALANCING"]),
    linux(cgroupsPath="/a/..b/c"),
    linux(cgroupsPath="system.slice:docker:abc"),
    resources(memory={"limit": 5, "swap": 5, "kernel": 0}),
    resources(memory={"limit": 5, "swap": -1, "kernel": -1}),
    resources(cpu={"quota": 1000, "period": 1000, "burst": 1000}),
    resources(cpu={"quota": -1, "period": 0, "shares": 0, "cpus": "", "mems": "0-1,3"}),
    resources(cpu={"cpus": "ALL", "mems": "all:1/2"}),
    resources(blockIO={"weight": 0, "weightDevice": [{"major": 8, "minor": 0, "leafWeight": 10}]}),
    resources(rdma={"mlx": {"hcaObjects": 1}}),
]  # fmt: skip

# (what is wrong, where it is reported)
BAD_CASES: list[tuple[dict[str, Any], str]] = [
    ({"ociVersion": "0.9.0"}, "/ociVersion"),
    ({"ociVersion": "2.0.0"}, "/ociVersion"),
    ({"hostname": "a"}, "/hostname"),
    ({"domainname": "a"}, "/domainname"),
    ({"hostname": "é" * 33, "linux": {"namespaces": namespaces("uts")}}, "/hostname"),
    (process() | linux(**userns(ids((1, 1, 1)), RANGE)), "/process/user/uid"),
    (process(user={"uid": 10, "gid": 1}) | linux(**userns(RANGE, RANGE)), "/process/user/uid"),
    (process(user={"uid": 1, "gid": 10}) | linux(**userns(RANGE, RANGE)), "/process/user/gid"),
    (process(user={"uid": 1, "gid": 1, "additionalGids": [1, 10]}) | linux(**userns(RANGE, RANGE)),
     "/process/user/additionalGids/1"),
    (process(rlimits=[{"type": "RLIMIT_CPU", "soft": 1, "hard": 1}] * 2),
     "/process/rlimits/1/type"),
    (process(rlimits=[{"type": "RLIMIT_CPU", "soft": 2, "hard": 1}]), "/process/rlimits/0/soft"),
    (process(terminal=True, consoleSize={"height": 65536, "width": 1}),
     "/process/consoleSize/height"),
    (process(scheduler={"policy": "SCHED_ISO"}), "/process/scheduler/policy"),
    (process(scheduler={"policy": "SCHED_RR"}), "/process/scheduler/priority"),
    (process(scheduler={"policy": "SCHED_BATCH", "priority": 1}), "/process/scheduler/priority"),
    (process(scheduler=ONE_RT | {"runtime": 5000}), "/process/scheduler/runtime"),
    (process(scheduler=DEADLINE | {"runtime": 1}), "/process/scheduler/runtime"),
    (process(scheduler=DEADLINE | {"deadline": 1999}), "/process/scheduler/deadline"),
    (process(scheduler=DEADLINE | {"period": 2999}), "/process/scheduler/period"),
    (process(execCPUAffinity={"final": "3-1"}), "/process/execCPUAffinity/final"),
    (process(execCPUAffinity={"initial": "1,,2"}), "/process/execCPUAffinity/initial"),
    ({"mounts": [TMPFS]}, "/mounts"),
    (mounts(TMPFS | {"destination": "/"}), "/mounts/0/destination"),
    (mounts(TMPFS, TMPFS | {"destination": "/a/.././"}), "/mounts/1/destination"),
    (mounts(TMPFS | {"destination": "/proc/sys/net"}), "/mounts/0/destination"),
    (mounts(TMPFS | {"destination": "/x/../proc//self/attr"}), "/mounts/0/destination"),
    (mounts(BIND | {"source": ""}), "/mounts/0/source"),
    (mounts({"destination": "/b", "options": ["rbind"]}), "/mounts/0/source"),
    (mounts({"destination": "/b", "source": "/b"}), "/mounts/0/type"),
    (mounts({"destination": "/b", "source": "/b", "type": "none"}), "/mounts/0/type"),
    *((mounts(BIND | {"options": ["bind", option]}), "/mounts/0/options/1") for option in (
        "idmap=uids=0-1-10", "idmap=", "idmap=uids=0-1-10;gids=", "ridmap=uids=0-1-10;gids=0-1",
        "idmap=uids=0-1-10;uids=0-1-10", "idmap=uids=0-1-10;gids=0-1-0",
        "idmap=uids=+0-1-1;gids=0-1-1",
        "idmap=uids=0-1-4294967295;gids=0-1-1", "idmap=uids=@0-1-1;gids=@0-1-1",
        "idmap=uids=0-1-10#5-90-1;gids=0-1-1", "idmap=uids=0-1-1;gids=0-1-1;x=0-1-1")),
    (mounts(BIND | {"options": ["idmap=uids=0-1-1;gids=0-1-1"], "uidMappings": RANGE,
                    "gidMappings": RANGE}), "/mounts/0/options/0"),
    (mounts({"destination": "/b", "type": "rbind"}), "/mounts/0/source"),
    (mounts(BIND | {"uidMappings": RANGE}), "/mounts/0/gidMappings"),
    (mounts(BIND | {"gidMappings": RANGE}), "/mounts/0/uidMappings"),
    (mounts(BIND | {"uidMappings": RANGE, "gidMappings": RANGE + ids((9, 90, 1))}),
     "/mounts/0/gidMappings/1/containerID"),
    (mounts(BIND | {"options": ["bind", "ridmap"]}), "/mounts/0/options"),
    (mounts({"destination": "/dev/pts", "type": "devpts", "options": ["newinstance", "gid=11"]},
            **userns(RANGE, RANGE)), "/mounts/0/options/1"),
    (mounts(TMPFS | {"options": ["uid=10"]}, **userns(RANGE, RANGE)), "/mounts/0/options/0"),
    (linux(namespaces=namespaces("pid", "uts", "pid")), "/linux/namespaces/2/type"),
    (linux(namespaces=namespaces("network", network="/n")), "/linux/namespaces/1/type"),
    (linux(uidMappings=RANGE), "/linux/uidMappings"),
    (linux(gidMappings=RANGE), "/linux/gidMappings"),
    (linux(namespaces=namespaces("user"), uidMappings=RANGE), "/linux/gidMappings"),
    (linux(namespaces=namespaces("user"), gidMappings=RANGE), "/linux/uidMappings"),
    (linux(**userns(ids((0, 5, 2), (1, 9, 1)), RANGE)), "/linux/uidMappings/1/containerID"),
    (linux(**userns(ids((0, 5, 2), (2, 6, 1)), RANGE)), "/linux/uidMappings/1/hostID"),
    (linux(**userns(ids((5, 5, 9), (0, 90, 20), (30, 70, 1)), RANGE)),
     "/linux/uidMappings/0/containerID"),
    (linux(**userns(RANGE, ids((1, 0, 4294967295)))), "/linux/gidMappings/0/size"),
    (linux(**userns(RANGE, ids(*((i, i, 1) for i in range(341))))), "/linux/gidMappings"),
    (linux(timeOffsets={"monotonic": {"secs": 1}}), "/linux/timeOffsets"),
    (linux(namespaces=namespaces(time="/t"), timeOffsets={"monotonic": {}}),
     "/linux/timeOffsets"),
    (linux(sysctl={"kernel.shmmax": "1"}), "/linux/sysctl/kernel.shmmax"),
    (linux(sysctl={"net/core/somaxconn": "1"}), "/linux/sysctl/net~1core~1somaxconn"),
    (linux(sysctl={"kernel.domainname": "1"}), "/linux/sysctl/kernel.domainname"),
    (linux(sysctl={"user.max_user_namespaces": "1"}), "/linux/sysctl/user.max_user_namespaces"),
    (linux(namespaces=namespaces("uts"), sysctl={"kernel.hostname": "1"}),
     "/linux/sysctl/kernel.hostname"),
    (linux(namespaces=namespaces("uts"), sysctl={"kernel.pid_max": "1"}),
     "/linux/sysctl/kernel.pid_max"),
    (linux(resources={"cpu": {"cpus": "0-7:5/4"}}), "/linux/resources/cpu/cpus"),
    (linux(resources={"cpu": {"cpus": "0:2/4"}}), "/linux/resources/cpu/cpus"),
    (linux(resources={"cpu": {"mems": "none"}}), "/linux/resources/cpu/mems"),
    (linux(resources={"cpu": {"mems": "all-1"}}), "/linux/resources/cpu/mems"),
    (linux(resources={"cpu": {"mems": "all:2/1"}}), "/linux/resources/cpu/mems"),
    (linux(namespaces=namespaces("network"), sysctl={"net/../kernel/x": "1"}),
     "/linux/sysctl/net~1..~1kernel~1x"),
    (linux(namespaces=namespaces("network"), sysctl={"net.ipv4.x": "1\n\n"}),
     "/linux/sysctl/net.ipv4.x"),
    (linux(namespaces=namespaces("network"), sysctl={"net.ipv4.x": "1\nkernel.core_pattern=|x"}),
     "/linux/sysctl/net.ipv4.x"),
    (linux(namespaces=namespaces("network"), sysctl={"net.ipv4.x": "1", "net/ipv4/x": "0"}),
     "/linux/sysctl/net~1ipv4~1x"),
    (linux(maskedPaths=["/a"]), "/linux/maskedPaths"),
    (linux(readonlyPaths=["/a"]), "/linux/readonlyPaths"),
    (linux(rootfsPropagation="slave"), "/linux/rootfsPropagation"),
    ({"root": {"path": "rootfs", "readonly": True}}, "/root/readonly"),
    (linux(devices=[{"type": "c", "path": "/dev/x", "minor": 1}]), "/linux/devices/0/major"),
    (linux(devices=[{"type": "b", "path": "/dev/x", "major": 1}]), "/linux/devices/0/minor"),
    (linux(devices=[{"type": "p", "path": "/dev/x/.."}]), "/linux/devices/0/path"),
    (linux(devices=[{"type": "p", "path": "/dev/.."}]), "/linux/devices/0/path"),
    (linux(netDevices={"a": {}}), "/linux/netDevices"),
    (linux(namespaces=namespaces("network"), netDevices={"a": {"name": "b"}, "b": {}}),
     "/linux/netDevices/b/name"),
    (linux(namespaces=namespaces("network"), netDevices={"a": {"name": ".."}}),
     "/linux/netDevices/a/name"),
    (seccomp(syscalls=[rule("SCMP_ACT_ALLOW", errnoRet=1)]),
     "/linux/seccomp/syscalls/0/errnoRet"),
    (seccomp(defaultErrnoRet=1), "/linux/seccomp/defaultErrnoRet"),
    (seccomp(defaultAction="SCMP_ACT_NOTIFY", listenerPath="/s"), "/linux/seccomp/defaultAction"),
    (seccomp(syscalls=[rule("SCMP_ACT_LOG"), rule("SCMP_ACT_NOTIFY")]),
     "/linux/seccomp/syscalls/1/action"),
    (seccomp(listenerMetadata="m"), "/linux/seccomp/listenerMetadata"),
    (linux(intelRdt={"closID": ".."}), "/linux/intelRdt/closID"),
    (policy("MPOL_DEFAULT", nodes="0"), "/linux/memoryPolicy/nodes"),
    (policy("MPOL_LOCAL", flags=["MPOL_F_STATIC_NODES"]), "/linux/memoryPolicy/flags"),
    (policy("MPOL_BIND"), "/linux/memoryPolicy/nodes"),
    (policy("MPOL_BIND", nodes="1-0"), "/linux/memoryPolicy/nodes"),
    (policy("MPOL_BIND", nodes="0", flags=["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]),
     "/linux/memoryPolicy/flags"),
    (policy("MPOL_INTERLEAVE", nodes="0", flags=["MPOL_F_NUMA_BALANCING"]),
     "/linux/memoryPolicy/flags"),
    (linux(cgroupsPath="/a/../b"), "/linux/cgroupsPath"),
    (resources(memory={"swap": 5}), "/linux/resources/memory/swap"),
    (resources(memory={"limit": 6, "swap": 5}), "/linux/resources/memory/swap"),
    (resources(cpu={"period": 999}), "/linux/resources/cpu/period"),
    (resources(cpu={"quota": 999}), "/linux/resources/cpu/quota"),
    (resources(cpu={"quota": 1000, "burst": 1001}), "/linux/resources/cpu/burst"),
    (resources(cpu={"realtimeRuntime": 6, "realtimePeriod": 5}),
     "/linux/resources/cpu/realtimeRuntime"),
    (resources(cpu={"cpus": "1-"}), "/linux/resources/cpu/cpus"),
    (resources(cpu={"mems": "2-1"}), "/linux/resources/cpu/mems"),
    (resources(blockIO={"weight": 9}), "/linux/resources/blockIO/weight"),
    (resources(blockIO={"weightDevice": [{"major": 8, "minor": 0}]}),
     "/linux/resources/blockIO/weightDevice/0"),
    (resources(blockIO={"weightDevice": [{"major": 8, "minor": 0, "leafWeight": 1}]}),
     "/linux/resources/blockIO/weightDevice/0/leafWeight"),
    (resources(rdma={"a/b": {}}), "/linux/resources/rdma/a~1b"),
    (resources(unified={"..": "1"}), "/linux/resources/unified/.."),
]  # fmt: skip

WARNINGS: list[tuple[dict[str, Any], str]] = [
    ({"ociVersion": "1.4.0"}, "/ociVersion"),
    ({"windows": {}}, "/windows"),
    ({"freebsd": {"jail": {}}}, "/freebsd"),
    (process(commandLine="x"), "/process/commandLine"),
    (process(user={"uid": 0, "gid": 0, "username": "x"}), "/process/user/username"),
    (process(capabilities={"bounding": ["CAP_KILL", "CAP_NEW"]}),
     "/process/capabilities/bounding/1"),
    (process(capabilities={"effective": ["CAP_KILL"]}), "/process/capabilities/effective/0"),
    (process(capabilities={"permitted": ["CAP_KILL"], "ambient": ["CAP_KILL"]}),
     "/process/capabilities/ambient"),
    (process(env=["A=b", "novalue"]), "/process/env/1"),
    (process(env=["=x"]), "/process/env/0"),
    (mounts(TMPFS | {"destination": "tmp"}), "/mounts/0/destination"),
    (resources(memory={"kernel": 5}), "/linux/resources/memory/kernel"),
]  # fmt: skip


def found(change: dict[str, Any], level: str) -> list[str]:
    document = copy.deepcopy(MINIMAL) | copy.deepcopy(change)
    assert CONFIG(document) < BAD, "the case must be about a rule, not about the schema"
    for fault in check(document):
        assert fault.message, fault
        assert fault.cure, fault
        assert fault.rule.startswith(("config.md#", "config-linux.md#")), fault
    return [fault.pointer for fault in check(document) if fault.level == level]


@pytest.mark.parametrize("change", GOOD, ids=str)
def test_good(change: dict[str, Any]) -> None:
    assert found(change, ERROR) == []
    assert found(change, WARNING) == []


@pytest.mark.parametrize(("change", "pointer"), BAD_CASES, ids=lambda case: str(case)[:100])
def test_bad(change: dict[str, Any], pointer: str) -> None:
    assert found(change, ERROR) == [pointer]


def test_a_deprecated_hook_is_a_note() -> None:
    """dockerd writes one into every config: `create` shall not warn about it each time."""
    change = {"hooks": {"prestart": [{"path": "/bin/true"}]}}
    assert found(change, NOTE) == ["/hooks/prestart"]
    assert found(change, WARNING) == []


@pytest.mark.parametrize(("change", "pointer"), WARNINGS, ids=lambda case: str(case)[:100])
def test_warnings(change: dict[str, Any], pointer: str) -> None:
    assert found(change, WARNING) == [pointer]
    assert found(change, ERROR) == []


def test_the_full_document_is_good() -> None:
    assert [fault for fault in check(FULL) if fault.level == ERROR] == []


def test_rules_do_not_change_the_document() -> None:
    document = copy.deepcopy(FULL)
    check(document)
    assert document == FULL


def test_the_corpus_is_good() -> None:
    for path in corpus():
        document = parse(path.read_bytes(), str(path))
        assert CONFIG(document) == 0, path
        assert [fault for fault in check(document) if fault.level == ERROR] == [], path


@pytest.mark.parametrize(
    ("name", "path", "namespace"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "network"),
        ("net.ipv4.conf.eth0/1.rp_filter", "net/ipv4/conf/eth0.1/rp_filter", "network"),
        ("net/ipv4/conf/eth0.1/rp_filter", "net/ipv4/conf/eth0.1/rp_filter", "network"),
        ("kernel.msgmax", "kernel/msgmax", "ipc"),
        ("kernel.sem", "kernel/sem", "ipc"),
        ("kernel.semantics", "kernel/semantics", ""),
        ("kernel.core_pattern", "kernel/core_pattern", ""),
        ("network", "network", ""),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max", "ipc"),
        ("user.max_mnt_namespaces", "user/max_mnt_namespaces", "user"),
    ],
)
def test_sysctl_names(name: str, path: str, namespace: str) -> None:
    assert sysctl_path(name) == path
    assert sysctl_namespace(path) == namespace


@pytest.mark.parametrize(
    ("text", "good"),
    [("0", True), ("0-3,7", True), (" 1 , 2 - 4 ", True), ("", False), ("3-1", False),
     ("-1", False), ("1-", False), ("1,", False), ("1-2-3", False), ("٣", False)],
)  # fmt: skip
def test_number_lists(text: str, good: bool) -> None:
    assert is_number_list(text) is good


@pytest.mark.parametrize(
    ("path", "result"),
    [("/", "/"), ("", "/"), ("a/b", "/a/b"), ("/a//b/./c/", "/a/b/c"), ("/a/../../b", "/b")],
)
def test_normal_paths(path: str, result: str) -> None:
    assert normal(path) == result
