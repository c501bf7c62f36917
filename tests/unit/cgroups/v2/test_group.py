"""What is different on cgroup v2."""

from __future__ import annotations

import errno

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.path import place
from ociruntime.cgroups.setting import Setting
from ociruntime.cgroups.signals import signal_all
from ociruntime.cgroups.update import check_usage
from ociruntime.cgroups.v2.group import GroupV2
from ociruntime.errors import StepError
from tests.unit.cgroups.fake import FILES, FakeCgroups
from tests.unit.cgroups.layouts import v2_layout


def group_v2(fake: FakeCgroups, path: str = "/top/leaf") -> GroupV2:
    group = open_group(fake, place(v2_layout(str(fake.base / "unified")), path, "c1"))
    assert isinstance(group, GroupV2)
    return group


def test_enables_controllers_from_the_top(fake: FakeCgroups) -> None:
    (fake.base / "unified/cgroup.subtree_control").write_text("memory\n")
    group = group_v2(fake, "/a/b/c")
    group.create()
    control = [value for _, file, value in fake.writes if file == "cgroup.subtree_control"]
    assert control == ["+cpu", "+cpu +memory", "+cpu +memory"]
    assert (fake.base / "unified/a/b/c/cgroup.subtree_control").read_text() == ""


def test_enables_what_it_can(fake: FakeCgroups) -> None:
    fake.refuse["cgroup.subtree_control", "+cpu +memory"] = errno.EBUSY
    fake.refuse["cgroup.subtree_control", "+memory"] = errno.EBUSY
    group = group_v2(fake)
    group.create()
    assert ("unified", "cgroup.subtree_control", "+cpu") in fake.writes
    leaf = fake.base / "unified/top/leaf"
    (leaf / "memory.max").unlink()
    (leaf / "cgroup.controllers").write_text("cpu\n")
    with pytest.raises(StepError, match=r"the controller memory cannot be enabled: .*processes"):
        group.apply([Setting("memory", "memory.max", "5", "/linux/resources/memory/limit")])


def test_a_controller_that_nobody_hands_down(fake: FakeCgroups) -> None:
    group = group_v2(fake)
    group.create()
    with pytest.raises(StepError, match=r"the controller pids is not delegated .*Delegate=yes"):
        group.apply([Setting("pids", "pids.max", "5", "/linux/resources/pids/limit")])


def test_an_unknown_file_of_a_known_controller(fake: FakeCgroups) -> None:
    group = group_v2(fake)
    group.create()
    with pytest.raises(StepError, match=r"this kernel, or this cgroup, has no memory\.nonsense"):
        group.apply([Setting("memory", "memory.nonsense", "5", "/linux/resources/unified/x")])


def test_below_a_threaded_cgroup(fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FILES["unified"], "cgroup.type", "domain invalid\n")
    group_v2(fake).create()
    assert ("unified", "cgroup.type", "threaded") in fake.writes


def test_clones_into_the_cgroup(fake: FakeCgroups) -> None:
    group = group_v2(fake)
    group.create()
    assert fake.path(group.open_for_clone()) == fake.base / "unified/top/leaf"
    assert group.open_to_join() == {}


def test_check_before_update(fake: FakeCgroups) -> None:
    group = group_v2(fake)
    group.create()
    pointer = "/linux/resources/memory/limit"
    check_usage(group, [Setting("memory", "memory.max", "max", pointer)])
    check_usage(group, [Setting("memory", "memory.max", "4096", pointer)])
    with pytest.raises(StepError, match="4096 bytes are in use"):
        check_usage(group, [Setting("memory", "memory.max", "4095", pointer)])


def test_freezer(fake: FakeCgroups) -> None:
    group = group_v2(fake)
    group.create()
    assert not group.frozen()
    events = fake.base / "unified/top/leaf/cgroup.events"
    events.write_text("populated 1\nfrozen 1\n")
    assert group.freeze()
    assert group.frozen()
    events.write_text("populated 1\nfrozen 0\n")
    group.thaw()
    assert not group.frozen()


def test_what_cannot_be_thawed_is_said(fake: FakeCgroups) -> None:
    group = group_v2(fake)
    group.create()
    fake.refuse["cgroup.freeze", "0"] = errno.EACCES
    with pytest.raises(StepError, match=r"top/leaf.*cgroup\.freeze"):
        group.thaw()
    fake.refuse["cgroup.freeze", "0"] = errno.ENODEV  # it has just been removed
    group.thaw()


def test_kill_is_one_write(fake: FakeCgroups) -> None:
    group = group_v2(fake)
    group.create()
    (fake.base / "unified/top/leaf/cgroup.kill").write_text("")
    (fake.base / "unified/top/leaf/cgroup.procs").write_text("7\n8\n")
    assert signal_all(group, 9) == 2
    assert fake.writes[-1] == ("unified", "cgroup.kill", "1")
