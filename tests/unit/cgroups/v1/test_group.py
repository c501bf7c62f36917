"""Making, joining, limiting and removing cgroups, on directories that play the hierarchies."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.path import Placement, place
from ociruntime.cgroups.signals import signal_all
from ociruntime.cgroups.v1.resources import settings_v1
from ociruntime.errors import StepError
from ociruntime.kernel.kernel import Kernel
from tests.unit.cgroups.fake import FILES, FakeCgroups
from tests.unit.cgroups.layouts import hybrid_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.cgroups.detect import Layout
    from ociruntime.cgroups.group import Group


def hybrid(fake: FakeCgroups) -> Layout:
    layout = hybrid_layout(str(fake.base))
    layout.hierarchies = [x for x in layout.hierarchies if Path(x.mountpoint).is_dir()]
    return layout


def group_at(fake: FakeCgroups, path: str) -> Group:
    return open_group(fake, place(hybrid(fake), path, "c1"))


def below(fake: FakeCgroups) -> list[str]:
    """All cgroups there are, relative to the base."""
    found = [path for path in fake.base.glob("*/**/") if path.parent != fake.base]
    return sorted(str(path.relative_to(fake.base)) for path in found)


def test_create_in_every_hierarchy_and_remove(fake: FakeCgroups) -> None:
    group = group_at(fake, "/top/leaf")
    group.create()
    assert below(fake) == sorted([*(f"{x}/top" for x in FILES), *(f"{x}/top/leaf" for x in FILES)])
    group.remove()
    assert below(fake) == []


def test_what_was_there_before_stays(fake: FakeCgroups) -> None:
    for name in FILES:
        fake.mkdirat(fake.open(str(fake.base / name), 0), "top", 0o755)
    group = group_at(fake, "/top/leaf")
    group.create()
    group.remove()
    assert below(fake) == sorted(f"{name}/top" for name in FILES)


def test_an_existing_cgroup_is_used_and_stays(fake: FakeCgroups) -> None:
    first, second = group_at(fake, "/shared"), group_at(fake, "/shared")
    first.create()
    (fake.base / "memory/shared/child").mkdir()
    second.create()
    second.remove(kill=True)
    assert "memory/shared/child" in below(fake)
    assert "pids/shared" in below(fake)


def test_a_survey_before_a_crash_is_enough_to_clean_up(fake: FakeCgroups) -> None:
    (fake.base / "memory/top").mkdir()
    group = group_at(fake, "/top/leaf")
    group.survey()
    state = group.placement.as_dict()
    assert below(fake) == ["memory/top"]
    group.create()
    open_group(fake, Placement.from_state(state)).remove()
    assert below(fake) == ["memory/top"]


def test_without_a_survey_only_the_last_level_is_removed(fake: FakeCgroups) -> None:
    state = group_at(fake, "/top/leaf").placement.as_dict()
    group_at(fake, "/top/leaf").create()
    open_group(fake, Placement.from_state(state)).remove()
    assert below(fake) == sorted(f"{name}/top" for name in FILES)


def test_removing_twice_and_removing_nothing(fake: FakeCgroups) -> None:
    group = group_at(fake, "/top/leaf")
    group.create()
    group.remove()
    group.remove()
    group_at(fake, "/never/made").remove(kill=True)


def test_parents_that_others_use_stay(fake: FakeCgroups) -> None:
    one, two = group_at(fake, "/top/one"), group_at(fake, "/top/two")
    one.survey()
    two.survey()
    one.create()
    two.create()
    one.remove()
    assert "memory/top/two" in below(fake)
    two.remove()
    assert below(fake) == []


def test_a_parent_that_vanishes_is_made_again(fake: FakeCgroups) -> None:
    other = group_at(fake, "/top/other")
    other.create()
    group = group_at(fake, "/top/leaf")
    group.survey()
    other.remove()
    group.create()
    assert [place.existing for place in group.placement.places] == [0] * len(FILES)
    group.remove()
    assert below(fake) == []


def test_a_directory_that_cannot_be_made(fake: FakeCgroups) -> None:
    (fake.base / "memory/top").write_text("a file")
    with pytest.raises(StepError, match="memory/top: ENOTDIR"):
        group_at(fake, "/top/leaf").create()


def test_cgroups_made_inside_are_removed_deepest_first(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    for path in ("memory/leaf/a/b/c", "memory/leaf/a/d", "unified/leaf/x"):
        (fake.base / path).mkdir(parents=True)
    group.remove()
    assert below(fake) == []


def test_busy_is_tried_again(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.busy[str(fake.base / "memory/leaf")] = 3
    group.remove(5.0)
    assert below(fake) == []


@pytest.mark.parametrize("kill", [False, True])
def test_busy_for_good_is_an_error_that_names_the_cgroup(fake: FakeCgroups, kill: bool) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.busy[str(fake.base / "memory/leaf")] = 10**6
    with pytest.raises(StepError, match="memory/leaf: EBUSY: processes are in it still") as caught:
        group.remove(0.05, kill=kill)
    assert caught.value.number == errno.EBUSY


def test_a_new_cpuset_inherits_at_every_level(fake: FakeCgroups) -> None:
    group_at(fake, "/a/b").create()
    for level in ("a", "a/b"):
        assert (fake.base / "cpuset" / level / "cpuset.cpus").read_text() == "0-1\n"
        assert (fake.base / "cpuset" / level / "cpuset.mems").read_text() == "0\n"


def test_a_cpuset_that_has_cpus_keeps_them(fake: FakeCgroups) -> None:
    fake.mkdirat(fake.open(str(fake.base / "cpuset"), 0), "a", 0o755)
    (fake.base / "cpuset/a/cpuset.cpus").write_text("1\n")
    group_at(fake, "/a/b").create()
    assert (fake.base / "cpuset/a/b/cpuset.cpus").read_text() == "1\n"


@pytest.mark.parametrize("where", ["leaf", "leaf/child"])
def test_an_occupied_cgroup_is_refused_and_left_alone(fake: FakeCgroups, where: str) -> None:
    (fake.base / "pids" / where).mkdir(parents=True)
    (fake.base / "pids" / where / "cgroup.procs").write_text("1\n1\n")
    group = group_at(fake, "/leaf")
    with pytest.raises(StepError, match=r"pids/leaf: it is not empty, 2 process\(es\)"):
        group.create()
    group.remove(0.05, kill=True)
    assert f"pids/{where}" in below(fake)


def test_a_cgroup_that_is_occupied_after_the_survey(fake: FakeCgroups) -> None:
    """By a container with the same path: it is not killed when the second is refused."""
    first, second = group_at(fake, "/top/leaf"), group_at(fake, "/top/leaf")
    second.survey()
    first.create()
    (fake.base / "pids/top/leaf/cgroup.procs").write_text("1\n")
    with pytest.raises(StepError, match=r"pids/top/leaf: it is not empty, 1 process"):
        second.create()
    second.remove(0.05, kill=True)
    assert sorted(f"{name}/top/leaf" for name in FILES) == [
        path for path in below(fake) if path.endswith("leaf")
    ]


def test_a_frozen_cgroup_is_refused(fake: FakeCgroups) -> None:
    fake.mkdirat(fake.open(str(fake.base / "freezer"), 0), "leaf", 0o755)
    (fake.base / "freezer/leaf/freezer.state").write_text("FROZEN\n")
    with pytest.raises(StepError, match="freezer/leaf: it, or one above it, is frozen; thaw"):
        group_at(fake, "/leaf").create()


def test_something_else_at_the_mountpoint_is_refused(fake: FakeCgroups) -> None:
    fake.magic = 0xEF53
    with pytest.raises(StepError, match="is not a cgroup file system"):
        group_at(fake, "/leaf").create()
    assert below(fake) == []


def test_a_symlink_on_the_way_is_not_followed(fake: FakeCgroups, tmp_path: Path) -> None:
    (fake.base / "memory/link").symlink_to(tmp_path)
    with pytest.raises(StepError, match="memory/link"):
        group_at(fake, "/link/leaf").create()
    assert not (tmp_path / "leaf").exists()


def test_join_writes_the_pid_everywhere(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.writes.clear()
    group.join(4711)
    assert sorted(fake.writes) == sorted((name, "cgroup.procs", "4711") for name in FILES)


def test_clones_join_by_fds(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    assert fake.path(group.open_for_clone()) == fake.base / "unified/leaf"
    fds = group.open_to_join()
    assert sorted(fds) == sorted(set(FILES) - {"unified"})
    assert {fake.path(fd).name for fd in fds.values()} == {"tasks"}
    assert {fake.path(fd).parent.name for fd in group.fds()} == set(FILES)
    for fd in fds.values():
        fake.close(fd)


def test_join_refusals_tell_the_cure(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.refuse["cgroup.procs", None] = errno.EACCES
    with pytest.raises(StepError, match=r"/leaf \(cgroup\.procs\): EACCES: not allowed to move"):
        group.join(1)


def test_limits_are_written_in_their_order(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.writes.clear()
    group.apply(settings_v1({"cpu": {"shares": 5, "quota": 9}, "pids": {"limit": 3}}, []))
    assert fake.writes == [
        ("cpu", "cpu.shares", "5"),
        ("cpu", "cpu.cfs_quota_us", "9"),
        ("pids", "pids.max", "3"),
    ]


@pytest.mark.parametrize(
    ("current", "limit", "swap", "first"),
    [
        ("9223372036854771712", 100, 200, "memory.limit_in_bytes"),
        ("1000", 100, 200, "memory.limit_in_bytes"),
        ("100", 1000, 2000, "memory.memsw.limit_in_bytes"),
        ("100", 1000, -1, "memory.memsw.limit_in_bytes"),
        ("100", -1, None, "memory.memsw.limit_in_bytes"),
    ],
)
def test_memory_and_swap_go_in_the_direction_of_growth(
    fake: FakeCgroups,
    monkeypatch: pytest.MonkeyPatch,
    current: str,
    limit: int,
    swap: int | None,
    first: str,
) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    held = {
        "memory.limit_in_bytes": int(current),
        "memory.memsw.limit_in_bytes": int(current),
    }
    write = fake.write

    def as_the_kernel(fd: int, data: bytes) -> int:
        """At no moment may the limit be above that of memory and swap."""
        after = {**held, fake.path(fd).name: int(data) % 2**63}
        if after["memory.limit_in_bytes"] > after["memory.memsw.limit_in_bytes"]:
            raise OSError(errno.EINVAL, "invalid")
        held.update(after)
        return write(fd, data)

    monkeypatch.setattr(fake, "write", as_the_kernel)
    fake.writes.clear()
    group.apply(settings_v1({"memory": {"limit": limit, "swap": swap}}, []))
    assert fake.writes[0][1] == first
    assert len(fake.writes) == 2


def test_a_period_that_the_old_quota_forbids_is_written_after_the_new_one(
    fake: FakeCgroups,
) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.writes.clear()
    fake.refuse["cpu.cfs_period_us", "20000"] = errno.EINVAL
    write = fake.write

    def accept_after_quota(fd: int, data: bytes) -> int:
        result = write(fd, data)
        if fake.path(fd).name == "cpu.cfs_quota_us":
            fake.refuse.clear()
        return result

    fake.write = accept_after_quota  # type: ignore[method-assign]
    group.apply(settings_v1({"cpu": {"quota": 5000, "period": 20000}}, []))
    assert [(file, value) for _, file, value in fake.writes] == [
        ("cpu.cfs_quota_us", "5000"),
        ("cpu.cfs_period_us", "20000"),
    ]


def test_a_refused_period_without_a_quota_is_an_error(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.refuse["cpu.cfs_period_us", None] = errno.EINVAL
    with pytest.raises(
        StepError, match=r"linux\.resources\.cpu\.period \(cpu\.cfs_period_us = 1\)"
    ):
        group.apply(settings_v1({"cpu": {"period": 1}}, []))


@pytest.mark.parametrize(
    ("resources", "file", "number", "words"),
    [
        ({"memory": {"limit": 5}}, "memory.limit_in_bytes", errno.EBUSY, "raise the limit"),
        ({"cpu": {"shares": 5}}, "cpu.shares", errno.EACCES, "not allowed; run as root"),
        ({"pids": {"limit": 5}}, "pids.max", errno.EINVAL, "does not accept the value 5"),
    ],
)
def test_refusals_name_config_file_value_and_cure(
    fake: FakeCgroups, resources: dict[str, dict[str, int]], file: str, number: int, words: str
) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.refuse[file, None] = number
    with pytest.raises(StepError) as caught:
        group.apply(settings_v1(resources, []))
    text = str(caught.value)
    assert text.startswith("linux.resources.")
    assert f"({file} = 5): {errno.errorcode[number]}: " in text
    assert words in text


def test_absent_files(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    (fake.base / "memory/leaf/memory.memsw.limit_in_bytes").unlink()
    group.apply(settings_v1({"memory": {"swap": -1}}, []))
    with pytest.raises(
        StepError, match=r"ENOENT: this kernel, or this cgroup, has no memory\.memsw"
    ):
        group.apply(settings_v1({"memory": {"limit": 1, "swap": 2}}, []))
    fake.writes.clear()
    group.apply(settings_v1({"blockIO": {"weight": 70}}, []))
    assert fake.writes == [("blkio", "blkio.weight", "70")]


def test_devices(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fake.writes.clear()
    group.apply_devices([{"allow": False, "access": "rwm"}])
    assert fake.writes[0] == ("devices", "devices.deny", "a")
    assert ("devices", "devices.allow", "c 1:3 rwm") in fake.writes


def test_devices_that_an_outer_container_denies(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    fuse = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rwm"}
    fake.refuse["devices.allow", "c 10:200 rwm"] = errno.EPERM
    group.apply_devices([{"allow": False, "access": "rwm"}])
    fake.refuse["devices.allow", "c 10:229 rwm"] = errno.EPERM
    with pytest.raises(StepError, match=r"devices\.allow = c 10:229 rwm\): EPERM: the parent"):
        group.apply_devices([{"allow": False, "access": "rwm"}, fuse])


def test_freezer(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    assert not group.frozen()
    assert group.freeze()
    assert group.frozen()
    group.thaw()
    assert not group.frozen()
    group.remove()
    assert not group.frozen()
    group.thaw()


def test_what_cannot_be_thawed_is_said(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    group.create()
    assert group.freeze()
    fake.refuse["freezer.state", "THAWED"] = errno.EACCES
    with pytest.raises(StepError, match=r"freezer/leaf.*freezer\.state"):
        group.thaw()
    fake.refuse["freezer.state", "THAWED"] = errno.ENODEV  # it has just been removed
    group.thaw()


def test_processes(fake: FakeCgroups) -> None:
    group = group_at(fake, "/leaf")
    assert group.all_procs() == []
    group.create()
    (fake.base / "freezer/leaf/child").mkdir()
    (fake.base / "freezer/leaf/cgroup.procs").write_text("0\n12\n13\n")
    (fake.base / "freezer/leaf/child/cgroup.procs").write_text("14\n")
    assert group.all_procs() == [12, 13, 14]


def test_without_cgroups_everything_is_quiet() -> None:
    group = open_group(Kernel(), Placement("none", []))
    group.create()
    group.join(1)
    assert group.open_for_clone() == -1
    assert group.open_to_join() == {}
    assert group.all_procs() == []
    assert not group.freeze()
    assert not group.frozen()
    assert signal_all(group, 9) == 0
    group.remove(kill=True)
