"""Changing limits on directories that play the hierarchies: everything or nothing."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ociruntime.cgroups import open_group
from ociruntime.cgroups.detect import Hierarchy, Layout
from ociruntime.cgroups.path import place
from ociruntime.cgroups.update import old_value, update
from ociruntime.errors import PlanError, StepError
from tests.unit.cgroups.fake import FakeCgroups
from tests.unit.cgroups.layouts import hybrid_layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.cgroups.group import Group


def on_v2(fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch) -> Group:
    names = ("cpu", "memory", "io", "pids")
    layout = Layout("v2", [Hierarchy("", names, f"{fake.base}/unified", "/", "/own")])
    return made(fake, layout, monkeypatch)


def on_v1(fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch) -> Group:
    layout = hybrid_layout(str(fake.base))
    layout.hierarchies = [x for x in layout.hierarchies if Path(x.mountpoint).is_dir()]
    return made(fake, layout, monkeypatch)


def made(fake: FakeCgroups, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Group:
    monkeypatch.setattr("ociruntime.cgroups.update.detect", lambda _kernel: layout)
    group = open_group(fake, place(layout, "/leaf", "c1"))
    group.create()
    fake.writes.clear()
    return group


def put(fake: FakeCgroups, **files: str) -> None:
    for name, text in files.items():
        (fake.base / "unified/leaf" / name.replace("__", ".")).write_text(text)


def written(fake: FakeCgroups) -> list[tuple[str, str]]:
    return [(file, value) for _, file, value in fake.writes]


@pytest.mark.parametrize(
    ("now", "wanted", "value"),
    [
        ("max 100000", {"quota": 5000}, "5000 100000"),
        ("max 20000", {"quota": 5000}, "5000 20000"),
        ("5000 20000", {"period": 50000}, "5000 50000"),
        ("max 20000", {"period": 50000, "quota": 0}, "max 50000"),
        ("5000 20000", {"quota": -1}, "max 20000"),
        ("5000 20000", {"quota": 1000, "period": 2000}, "1000 2000"),
    ],
)
def test_quota_or_period_alone(
    fake: FakeCgroups,
    monkeypatch: pytest.MonkeyPatch,
    now: str,
    wanted: dict[str, int],
    value: str,
) -> None:
    group = on_v2(fake, monkeypatch)
    put(fake, cpu__max=now + "\n")
    update(group, {"cpu": wanted}, [])
    assert written(fake) == [("cpu.max", value)]


def test_swap_alone_counts_the_present_memory(
    fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = on_v2(fake, monkeypatch)
    put(fake, memory__max="4096\n", memory__swap__max="max\n")
    update(group, {"memory": {"swap": 12288, "limit": 0}}, [])
    assert ("memory.swap.max", "8192") in written(fake)
    fake.writes.clear()
    update(group, {"memory": {"swap": -1}}, [])
    assert written(fake) == [("memory.swap.max", "max")]
    put(fake, memory__max="max\n")
    fake.writes.clear()
    with pytest.raises(PlanError, match=r"memory, which is not limited; set memory\.limit too"):
        update(group, {"memory": {"swap": 12288}}, [])
    assert fake.writes == []


def test_a_refusal_takes_everything_back(
    fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = on_v2(fake, monkeypatch)
    put(fake, cpu__max="5000 20000\n", memory__max="4096\n", pids__max="7\n")
    put(fake, io__max="8:0 rbps=1 wbps=max riops=max wiops=max\n")
    device = {"major": 8, "minor": 0, "rate": 5}
    other = {"major": 8, "minor": 16, "rate": 5}
    resources: dict[str, Any] = {
        "cpu": {"quota": 6000},
        "memory": {"limit": 8192},
        "blockIO": {"throttleReadBpsDevice": [device, other]},
        "unified": {"pids.max": "8"},
    }
    fake.refuse["pids.max", "8"] = errno.EINVAL
    with pytest.raises(StepError, match=r"linux\.resources\.unified\.pids\.max|pids\.max = 8"):
        update(group, resources, [])
    assert sorted(written(fake)[4:]) == sorted(
        [
            ("cpu.max", "5000 20000"),
            ("memory.max", "4096"),
            ("io.max", "8:0 rbps=1 wbps=max riops=max wiops=max"),
            ("io.max", "8:16 rbps=max wbps=max riops=max wiops=max"),
            ("pids.max", "7"),
        ]
    )


def test_what_cannot_be_taken_back_is_a_warning(
    fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = on_v1(fake, monkeypatch)
    fake.refuse["pids.max", None] = errno.EINVAL
    fake.refuse["cpu.shares", "1024"] = errno.EPERM
    warnings: list[str] = []
    with pytest.raises(StepError, match=r"pids\.max = 9"):
        update(group, {"cpu": {"shares": 5}, "pids": {"limit": 9}}, warnings)
    assert any("not as before" in text and "cpu.shares = 1024" in text for text in warnings)


@pytest.mark.parametrize(
    ("file", "value", "text", "old"),
    [
        ("memory.max", "5", "max", "max"),
        ("cpuset.cpus", "1", "", "\n"),
        ("memory.oom_control", "1", "oom_kill_disable 0\nunder_oom 0\noom_kill 3", "0"),
        ("io.weight", "8:0 200", "default 100", "8:0 default"),
        ("io.weight", "default 200", "default 100\n8:0 300", "default 100"),
        ("blkio.throttle.read_bps_device", "8:0 5", "", "8:0 0"),
        ("blkio.throttle.read_bps_device", "8:0 5", "8:16 1\n8:0 9", "8:0 9"),
        ("rdma.max", "mlx4_0 hca_handle=2", "mlx4_0 hca_handle=max", "mlx4_0 hca_handle=max"),
        ("memory.stat", "1", "a 1\nb 2", None),
    ],
)
def test_what_takes_a_write_back(file: str, value: str, text: str, old: str | None) -> None:
    assert old_value(file, value, text) == old


def test_an_oom_killer_can_be_switched_on_again(
    fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = on_v1(fake, monkeypatch)
    control = fake.base / "memory/leaf/memory.oom_control"
    for now, wanted in ((1, [("memory.oom_control", "0")]), (0, [])):
        control.write_text(f"oom_kill_disable {now}\nunder_oom 0\noom_kill 0\n")
        fake.writes.clear()
        update(group, {"memory": {"disableOOMKiller": False}}, [])
        assert written(fake) == wanted


def test_hybrid_with_controllers_in_the_unified_hierarchy(
    fake: FakeCgroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    """memory and cpu there, pids on v1, and the freezer where it is found."""
    found = [
        Hierarchy("pids", ("pids",), f"{fake.base}/pids", "/", "/"),
        Hierarchy("", ("cpu", "memory"), f"{fake.base}/unified", "/", "/"),
    ]
    layout = Layout("hybrid", found)
    monkeypatch.setattr("ociruntime.cgroups.update.detect", lambda _kernel: layout)
    group = open_group(fake, place(layout, "/top/leaf", "c1"))
    group.create()
    assert fake.writes == [], "what cgroup v2 has in use, nobody can mount as v1"
    (fake.base / "unified/top/leaf/cpu.max").write_text("max 100000\n")
    update(
        group,
        {
            "memory": {"limit": 8192},
            "cpu": {"quota": 5000},
            "pids": {"limit": 5},
            "unified": {"memory.max": "4096"},
        },
        [],
    )
    # Handed down at each level, one by one, when something is limited.
    handed = [value for _, file, value in fake.writes if file == "cgroup.subtree_control"]
    assert list(dict.fromkeys(handed)) == ["+cpu", "+memory"]
    for level in ("unified", "unified/top"):
        assert (fake.base / level / "cgroup.subtree_control").read_text() == "+memory\n"
    others = {"memory.swap.max", "cgroup.subtree_control"}
    assert [write for write in fake.writes if write[1] not in others] == [
        ("unified", "cpu.max", "5000 100000"),
        ("unified", "memory.max", "8192"),
        ("pids", "pids.max", "5"),
        ("unified", "memory.max", "4096"),
    ]
    with pytest.raises(PlanError, match="pids is not in the unified hierarchy"):
        update(group, {"unified": {"pids.max": "4"}}, [])
    (fake.base / "unified/top/leaf/cgroup.events").write_text("populated 0\nfrozen 1\n")
    assert group.freeze()
    assert ("unified", "cgroup.freeze", "1") in fake.writes
    assert group.frozen()
