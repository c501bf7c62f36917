"""The steps that the planner gets, and what they do to the run."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, cast

import pytest

from ociruntime.cgroups.detect import Layout
from ociruntime.cgroups.path import place
from ociruntime.errors import PlanError, StepError
from ociruntime.plan.cgroup import cgroup_steps
from ociruntime.plan.cgroup_mount import plan_cgroup_mount, plan_sources
from ociruntime.plan.host import Host
from ociruntime.plan.namespaces import NamespacePlan
from ociruntime.process.run import Run, hierarchy_fd
from ociruntime.process.step import CONTAINER, HOST, Step
from ociruntime.spec.mount_options import parse
from ociruntime.steps.cgroup import CreateCgroup
from ociruntime.steps.cgroup_mount import MountCgroup, OpenCgroupSource
from tests.unit.cgroups.fake import FILES, FakeCgroups
from tests.unit.cgroups.layouts import hybrid_layout, v1_layout, v2_layout

DENY_ALL = {"allow": False, "access": "rwm"}
ROOT = Host(0, 0, 0, 40, Layout("none", []), in_userns=False)
USER = Host(1000, 1000, 0, 40, Layout("none", []), in_userns=False)


def plan(layout: Layout, linux: dict[str, Any], *, rootless: bool = False) -> dict[str, list[Step]]:
    placement = place(layout, linux.get("cgroupsPath"), "c1")
    config = {"ociVersion": "1.3.0", "linux": linux}
    return cgroup_steps(config, placement, layout, rootless=rootless, warnings=[])


def kinds(steps: dict[str, list[Step]]) -> dict[str, list[str]]:
    return {stage: [step.kind for step in found] for stage, found in steps.items()}


def test_everything_has_its_place() -> None:
    resources = {
        "devices": [DENY_ALL],
        "cpu": {"cpus": "0", "shares": 5},
        "memory": {"limit": 524288},
    }
    steps = plan(v1_layout(), {"cgroupsPath": "/x", "resources": resources})
    assert kinds(steps) == {
        "prepare": ["create-cgroup", "limit-resources-early"],
        "devices": ["limit-devices"],
        "attach": ["join-cgroup"],
        "finish": ["limit-resources"],
    }
    sides = {step.kind: step.side for found in steps.values() for step in found}
    assert sides.pop("join-cgroup") == CONTAINER
    assert set(sides.values()) == {HOST}


def test_v2_needs_no_join() -> None:
    assert kinds(plan(v2_layout(), {})) == {
        "prepare": ["create-cgroup"],
        "devices": ["limit-devices"],
        "attach": [],
        "finish": [],
    }


def test_steps_can_be_shown() -> None:
    steps = plan(hybrid_layout(), {"resources": {"pids": {"limit": 3}, "devices": [DENY_ALL]}})
    for step in [step for found in steps.values() for step in found]:
        shown = step.as_dict()
        assert shown["description"]
        assert isinstance(shown["operands"], dict)
    (limits,) = steps["finish"]
    assert limits.describe() == "limit pids.max = 3"
    assert limits.operands() == {
        "settings": [
            {
                "controller": "pids",
                "file": "pids.max",
                "value": "3",
                "pointer": "/linux/resources/pids/limit",
            }
        ]
    }


def test_a_controller_that_the_host_lacks() -> None:
    layout = v1_layout()
    layout.hierarchies = [item for item in layout.hierarchies if item.key != "pids"]
    with pytest.raises(
        PlanError, match=r"linux\.resources\.pids\.limit: .* controller pids"
    ) as caught:
        plan(layout, {"resources": {"pids": {"limit": 3}}})
    assert caught.value.pointer == "/linux/resources/pids/limit"
    assert "; " in str(caught.value), "it names no cure"


@pytest.mark.parametrize("resources", [{"memory": {"limit": 1}}, {"devices": [DENY_ALL]}])
def test_limits_without_any_cgroups(resources: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=r"no cgroup controller .* \(cgroups: none\)"):
        plan(Layout("none", []), {"resources": resources})
    assert plan(Layout("none", []), {})["attach"] == []


def test_devices_that_v1_cannot_express_are_found_while_planning() -> None:
    rules = [DENY_ALL, {"allow": True, "type": "c", "major": 1}]
    rules.append({"allow": False, "type": "c", "major": 1, "minor": 3})
    with pytest.raises(PlanError, match="cannot express"):
        plan(v1_layout(), {"resources": {"devices": rules}})
    assert plan(v2_layout(), {"resources": {"devices": rules}})


@pytest.mark.parametrize(
    ("linux", "rootless", "tolerant"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"cgroupsPath": "/x"}, True, False),
        ({"resources": {"pids": {"limit": 3}}}, True, False),
        # podman denies all devices always; to somebody who cannot make any that is no limit.
        ({"resources": {"devices": [DENY_ALL]}}, True, True),
        ({"resources": {"memory": {"limit": 0}}}, True, True),
    ],
)
def test_who_may_go_without_a_cgroup(linux: dict[str, Any], rootless: bool, tolerant: bool) -> None:
    create = plan(v2_layout(), linux, rootless=rootless)["prepare"][0]
    assert isinstance(create, CreateCgroup)
    assert create.tolerant is tolerant


def hybrid(fake: FakeCgroups) -> Layout:
    layout = hybrid_layout(str(fake.base))
    layout.hierarchies = [x for x in layout.hierarchies if Path(x.mountpoint).is_dir()]
    return layout


class Inside:
    """The container's side, as far as joining its cgroups goes: at once, and here."""

    def __init__(self, fake: FakeCgroups) -> None:
        self.fake = fake
        self.closed: list[int] = []

    def call(self, name: str, fd: int, data: bytearray, length: int, **_: Any) -> None:
        assert name == "write"
        self.fake.write(fd, bytes(data[:length]))

    def close(self, fd: int) -> None:
        self.closed.append(fd)


def execute(run: Run, steps: dict[str, list[Step]]) -> None:
    run.setup = cast("Any", Inside(cast("FakeCgroups", run.kernel)))
    for stage in ("prepare", "attach", "devices", "finish"):
        for step in steps[stage]:
            step.execute(run)


def test_execution_and_undo(fake: FakeCgroups) -> None:
    resources = {"devices": [DENY_ALL], "cpu": {"cpus": "0"}, "pids": {"limit": 3}}
    steps = plan(hybrid(fake), {"cgroupsPath": "/leaf", "resources": resources})
    run = Run(fake, [])
    execute(run, steps)
    files = [file for _, file, _ in fake.writes]
    assert files.index("tasks") < files.index("devices.deny") < files.index("pids.max")
    assert fake.writes.index(("cpuset", "cpuset.cpus", "0")) < files.index("tasks")
    assert files.count("tasks") == len(FILES) - 1
    assert sorted(cast("Inside", run.setup).closed) == sorted(run.fds.values())
    assert all(name.startswith(hierarchy_fd("")) for name in run.fds)
    assert len(run.host_fds) == len(FILES)
    for step in reversed(steps["prepare"]):
        step.undo(run)
    assert not list(fake.base.glob("*/leaf"))


def test_what_will_be_made_is_written_down_first(fake: FakeCgroups) -> None:
    class Saved:
        def __init__(self) -> None:
            self.data: dict[str, Any] = {}
            self.made: list[bool] = []

        def save(self) -> None:
            self.made.append((fake.base / "memory/leaf").exists())

    run = Run(fake, [])
    saved = Saved()
    run.container = saved  # type: ignore[assignment]
    execute(run, plan(hybrid(fake), {"cgroupsPath": "/leaf"}))
    assert saved.made == [False]
    assert set(saved.data["cgroup"]["existing"].values()) == {0}


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_tolerated_refusals(fake: FakeCgroups, number: int) -> None:
    def refuse(_directory: int, _name: str, _mode: int) -> None:
        raise OSError(number, "no")

    fake.mkdirat = refuse  # type: ignore[method-assign,assignment]
    run = Run(fake, [])
    execute(run, plan(hybrid(fake), {}, rootless=True))
    assert run.cgroup is not None
    assert run.cgroup.placement.places == []
    assert run.cgroup.open_for_clone() == -1
    assert len(run.warnings) == 1
    with pytest.raises(StepError, match="cgroup "):
        execute(Run(fake, []), plan(hybrid(fake), {}, rootless=False))


def sources(
    layout: Layout, *names: str, kind: str = "cgroup", host: Host = ROOT
) -> list[OpenCgroupSource]:
    """What is copied for a mount on /c; a name with ``=`` is a namespace that is joined."""
    mounts = [{"destination": "/proc", "type": "proc"}, {"destination": "/c", "type": kind}]
    namespaces = [
        {"type": name.strip("="), "path": "/x"} if name.endswith("=") else {"type": name}
        for name in names
    ]
    linux = {"namespaces": namespaces}
    planned = NamespacePlan(linux, host)
    steps = plan_sources(
        {"linux": linux, "mounts": mounts}, layout, planned, privileged=host.privileged, side=HOST
    )
    assert all(step.pointer == "/mounts/1" for step in steps)
    return [step for step in steps if isinstance(step, OpenCgroupSource)]


def test_what_cannot_be_mounted_anew_is_copied() -> None:
    assert sources(v1_layout(), "cgroup") == []
    assert sources(v2_layout(), "cgroup", "user") == []
    assert sources(v2_layout()) == []  # the host's tree
    (of_v1,) = sources(hybrid_layout())
    assert all(item.key for item in of_v1.hierarchies)
    (in_user,) = sources(v2_layout(), "user")
    assert in_user.whole
    (joined,) = sources(v2_layout(), "user", "cgroup=")
    assert not joined.whole
    (unified,) = sources(hybrid_layout(), "user", kind="cgroup2")
    assert [item.key for item in unified.hierarchies] == [""]
    (theirs,) = sources(v2_layout(), "user", host=USER)
    assert theirs.whole


def mount(layout: Layout, filesystem: str = "cgroup", *, namespace: bool = True) -> MountCgroup:
    return plan_cgroup_mount(
        "/mounts/1",
        "mounts[1] /c (cgroup)",
        "/c",
        parse(["ro", "nosuid"]),
        layout,
        in_namespace=namespace,
        filesystem=filesystem,
    )


def test_what_a_cgroup_mount_is() -> None:
    assert mount(v2_layout()).describe() == "mount cgroup2 read-only on /c"
    assert mount(hybrid_layout(), "cgroup2").single
    assert [item.key for item in mount(hybrid_layout(), "cgroup2").hierarchies] == [""]
    shown = mount(hybrid_layout()).operands()["hierarchies"]
    assert isinstance(shown, list)
    assert "systemd" in shown
    assert "unified" not in shown
    assert not mount(hybrid_layout()).single
    with pytest.raises(PlanError, match="this host has no cgroup v2") as caught:
        mount(v1_layout(), "cgroup2")
    assert caught.value.pointer == "/mounts/1/type"
