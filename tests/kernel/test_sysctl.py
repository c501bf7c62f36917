"""linux.sysctl (config-linux.md, "Sysctl")."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward", "1"),
        ("net/ipv4/conf/lo/forwarding", "net/ipv4/conf/lo/forwarding", "1"),
        ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced", "1"),
        ("kernel.msgmax", "kernel/msgmax", "12345"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max", "7"),
        ("net.ipv4.ping_group_range", "net/ipv4/ping_group_range", "0\t0"),
    ],
)
def test_value(runtime: Runtime, bundle: MakeBundle, name: str, path: str, value: str) -> None:
    own = Path("/proc/sys", path)
    before = own.read_text() if own.exists() else None
    made = bundle().set("/linux/sysctl", {name: value.replace("\t", " ")})
    assert runtime.run_output(made, ["cat", f"/proc/sys/{path}"]) == value + "\n"
    assert (own.read_text() if own.exists() else None) == before


def test_unknown_name(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/linux/sysctl", {"net.ipv4.no_such_setting": "1"})
    assert_clear(runtime, runtime.create(made), "net.ipv4.no_such_setting")


def test_refused_value(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/linux/sysctl", {"net.ipv4.ip_forward": "many"})
    assert_clear(runtime, runtime.create(made), "net.ipv4.ip_forward", "many")


def test_pid_max(runtime: Runtime, bundle: MakeBundle) -> None:
    """A pid namespace has its own since Linux 6.14; before, nothing of the host is changed."""
    before = Path("/proc/sys/kernel/pid_max").read_text()
    made = bundle().set("/linux/sysctl", {"kernel.pid_max": "4321"})
    made.shell("cat /proc/sys/kernel/pid_max")
    result = runtime.run(made)
    major, minor = os.uname().release.split(".")[:2]
    if (int(major), int(minor.partition("-")[0])) >= (6, 14):
        assert result.check().stdout == "4321\n"
    else:
        assert_clear(runtime, result, "kernel.pid_max", "the whole host", "remove it")
    assert Path("/proc/sys/kernel/pid_max").read_text() == before
