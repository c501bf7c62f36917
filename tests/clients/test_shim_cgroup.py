"""Metrics, limits, freezing and out-of-memory events of our own containerd shim.

The same tests on cgroup v1 and, in the virtual machine (tests/vm/guest-tests), on v2; where a
container runs with ``ctr`` there is Debian's own shim to compare with.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ociruntime.shim import messages as m
from ociruntime.shim.metrics import METRICS_V1, METRICS_V2
from ociruntime.shim.stats import read_stats
from tests.clients.test_containerd import events
from tests.support.engines.compared import with_own
from tests.support.engines.containerd import Containerd, ContainerdWith
from tests.support.engines.metrics import Group, client, differences, stats
from tests.support.patience import PATIENCE

RESOURCES = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources"
# Some of everything that is counted: a page cache, writes, processes, faults.
WORK = """dd if=/dev/urandom of=/file bs=64k count=32 conv=fsync
    until test -e /enough; do :; done; : >/ready; sleep 1000 & wait"""
LIMIT = 1 << 23
Both = ContainerdWith


@pytest.fixture(params=with_own("runc", "shim"))
def both(request: pytest.FixtureRequest, containerd: Containerd) -> Iterator[Both]:
    """Containers with Debian's own shim and runc, and with ours."""
    view = ContainerdWith(containerd, request.param)
    yield view
    view.remove_all()


@pytest.fixture
def listen(containerd: Containerd, request: pytest.FixtureRequest) -> Callable[[str], list[str]]:
    """The topics of a container's events so far."""
    log = containerd.directory / f"events-{request.node.name}"
    pid = containerd.host.start("ctr", "--address", "/run/containerd.sock", "events", log=log)
    # Whatever happens in containerd is an event, once it listens.
    probe = ("namespaces", "create", f"n{pid}")
    containerd(*probe).check()
    label = ("namespaces", "label", f"n{pid}", "a=b")
    containerd.host.wait_until(
        lambda: containerd(*label).status == 0 and log.stat().st_size > 0, "an event", log
    )
    containerd("namespaces", "remove", f"n{pid}").check()

    def topics(container: str) -> list[str]:
        return [topic for topic, _ in events(log, container)]

    return topics


def update(view: ContainerdWith, container: str, resources: object) -> None:
    """Change limits as Docker and the CRI do."""
    any_ = {"type_url": RESOURCES, "value": json.dumps(resources).encode()}
    with client(view, container) as connection:
        connection.call("Update", m.UPDATE, m.EMPTY, id=container, resources=any_)


def up_and_paused(view: ContainerdWith) -> tuple[str, Group]:
    """A container that has done some work and counts no further."""
    limits = ("--memory-limit", "50000000", "--cpu-quota", "30000", "--cpu-period", "100000")
    container = view.up(*limits, "--", "sh", "-c", WORK)
    pid = view.tasks()[container][0]
    root = Path(f"/proc/{view.host.init}/root/proc/{pid}/root")
    group = Group(view, container)

    def has_had_periods() -> bool:
        cpu = group.expected()["cpu"]
        return bool(cpu["nr_periods"] if group.v2 else cpu["throttling"]["periods"])

    view.host.wait_until(has_had_periods, "an end of a period of the CPU's", view.daemon.log)
    (root / "enough").touch()
    view.host.wait_until((root / "ready").exists, "some work", view.daemon.log)
    update(view, container, {"pids": {"limit": 30}})
    view("tasks", "pause", container).check()
    return container, group


def settled(ask: Callable[[], tuple[dict[str, Any], dict[str, Any]]]) -> list[str]:
    """The differences between two readings: the kernel gathers some counters with a delay."""
    deadline = time.monotonic() + PATIENCE
    while found := differences(*ask()):
        if time.monotonic() > deadline:
            break
        time.sleep(0.2)
    return found


def test_score_where_memory_runs_out(both: Both) -> None:
    """One more than containerd's: the daemon ends first, and containers begin with its score."""
    script = "cat /proc/self/oom_score_adj"
    wanted = f"{min(int(both.host.shell(script)) + 1, 1000)}\n"
    assert both.run("--", *script.split()).stdout == wanted
    container = both.up("--", "sleep", "1000")
    seen = both("tasks", "exec", "--exec-id", "e1", container, *script.split())
    assert seen.stdout == wanted


def test_metrics_are_what_the_files_say(shim: ContainerdWith) -> None:
    container, group = up_and_paused(shim)
    assert not settled(lambda: (group.expected(), stats(shim, container)))
    found = stats(shim, container)
    assert found["pids"] == {"current": 2, "limit": 30}
    if group.v2:
        assert found["memory"]["usage_limit"] == 50000000 // 4096 * 4096
        assert found["memory"]["file"] >= 32 << 16
        assert found["cpu"]["usage_usec"] > 1000
        assert found["cpu"]["nr_periods"] > 0
        assert found["memory"]["pgfault"] > 0
        assert found["io"]["usage"]
        assert found["memory_events"] is not None
    else:
        assert found["memory"]["usage"]["limit"] == 50000000 // 4096 * 4096
        assert found["memory"]["total_cache"] >= 32 << 16
        assert found["cpu"]["usage"]["total"] > 1000_000
        assert found["cpu"]["throttling"]["periods"] > 0
    shim("tasks", "resume", container).check()


def test_metrics_are_those_of_containerds_own_shim(containerd: Containerd) -> None:
    """Both read the same cgroup. What it leaves out we may have."""
    view = ContainerdWith(containerd, "runc")
    try:
        container, group = up_and_paused(view)
        message = METRICS_V2 if group.v2 else METRICS_V1

        def ask() -> tuple[dict[str, Any], dict[str, Any]]:
            theirs = stats(view, container)
            return present(theirs), message.decode(read_stats(group.placement())[1])

        assert not settled(ask)
        view("tasks", "resume", container).check()
    finally:
        view.remove_all()


def present(values: Any) -> Any:
    """Only what is not zero: proto3 does not tell zero from absent."""
    if isinstance(values, dict):
        return {name: present(value) for name, value in values.items() if value}
    return [present(value) for value in values] if isinstance(values, list) else values


def test_metrics_after_an_update(both: Both) -> None:
    container = both.up("--memory-limit", "50000000", "--", "sleep", "1000")
    group = Group(both, container)

    def limits() -> tuple[int, int]:
        found = stats(both, container)
        memory = found["memory"]["usage_limit"] if group.v2 else found["memory"]["usage"]["limit"]
        return memory, found["pids"]["limit"]

    assert limits() == (50000000 // 4096 * 4096, group.expected()["pids"]["limit"])
    update(both, container, {"memory": {"limit": 1 << 26}, "pids": {"limit": 17}})
    assert limits() == (1 << 26, 17)
    memory = "memory.max" if group.v2 else "memory.limit_in_bytes"
    assert (group.number(memory), group.number("pids.max")) == (1 << 26, 17)


def test_a_first_process_out_of_memory(both: Both, listen: Callable[[str], list[str]]) -> None:
    limit = ("--memory-limit", str(LIMIT))
    container = both.up(*limit, "--", "tail", "/dev/zero")
    both.wait_for(container, "STOPPED")
    done = both("tasks", "delete", container)
    assert "exit with non-zero exit code 137" in done.stderr
    both.host.wait_until(lambda: "/tasks/exit" in listen(container), "exit", both.daemon.log)
    topics = listen(container)
    if both.way == "shim":  # runc's may not see it any more
        told = [topic for topic in topics if topic in ("/tasks/start", "/tasks/oom", "/tasks/exit")]
        assert told == ["/tasks/start", "/tasks/oom", "/tasks/exit"]


def test_an_exec_out_of_memory(both: Both, listen: Callable[[str], list[str]]) -> None:
    """Each time it is told once; the container goes on."""
    container = both.up("--memory-limit", str(LIMIT), "--", "sleep", "1000")
    for count in (1, 2):
        done = both("tasks", "exec", "--exec-id", f"e{count}", container, "tail", "/dev/zero")
        assert done.status == 137, done
        both.host.wait_until(
            lambda count=count: listen(container).count("/tasks/oom") >= count,
            f"event {count}", both.daemon.log,
        )  # fmt: skip
        ends = ["/tasks/exec-started", "/tasks/exit", "/tasks/oom"] * count
        seen = sorted(topic for topic in listen(container) if topic in ends)
        assert seen == sorted(ends)
    assert both.tasks()[container][1] == "RUNNING"
    counted = stats(both, container)
    name = "memory_events" if Group(both, container).v2 else "memory_oom_control"
    assert counted[name]["oom_kill"] == 2


def test_out_of_memory_in_a_pod(both: Both, listen: Callable[[str], list[str]]) -> None:
    """One shim watches all containers of a pod."""
    pod = f"pod-{both.way}"
    options = ("--annotation", f"io.kubernetes.cri.sandbox-id={pod}", "--memory-limit", str(LIMIT))
    first, second = (both.up(*options, "--", "sleep", "1000") for _ in range(2))
    assert both("tasks", "exec", "--exec-id", "e", second, "tail", "/dev/zero").status == 137
    both.host.wait_until(lambda: "/tasks/oom" in listen(second), "oom", both.daemon.log)
    # What is told later is told by the same queue: nothing is under way any more then.
    both("tasks", "exec", "--exec-id", "f", first, "true").check()
    both.host.wait_until(lambda: "/tasks/exit" in listen(first), "exit", both.daemon.log)
    assert "/tasks/oom" not in listen(first)
    assert listen(second).count("/tasks/oom") == 1
    assert {both.tasks()[name][1] for name in (first, second)} == {"RUNNING"}


def test_pause_and_resume(both: Both) -> None:
    container = both.up("--", "sh", "-c", "while :; do :; done")
    group = Group(both, container)
    used = (lambda: group.table("cpu.stat")["usage_usec"]) if group.v2 else (
        lambda: group.number("cpuacct.usage"))  # fmt: skip
    both("tasks", "pause", container).check()
    assert both.tasks()[container][1] == "PAUSED"
    if group.v2:
        assert group.table("cgroup.events")["frozen"] == 1
    else:
        assert group.text("freezer.state") == "FROZEN\n"
    before = used()
    time.sleep(0.3)
    assert used() == before
    both("tasks", "resume", container).check()
    assert both.tasks()[container][1] == "RUNNING"
    both.host.wait_until(lambda: used() > before, "further work", both.daemon.log)


def test_kill_of_a_paused_container(shim: ContainerdWith) -> None:
    container = shim.up("--", "sh", "-c", "sleep 6543 & sleep 6543")
    shim("tasks", "pause", container).check()
    shim("tasks", "kill", "--signal", "KILL", container).check()
    shim.wait_for(container, "STOPPED")
    assert shim.processes("^sleep 6543") == []
    assert "exit code 137" in shim("tasks", "delete", container).stderr
    assert Group(shim, container).directories() == []


def test_kill_all_and_delete_with_cgroups_of_the_containers_own(both: Both) -> None:
    """What the container made below its cgroup goes with it."""
    container = both.up("--", "sh", "-c", "sleep 7654 & setsid sleep 7654 & wait")
    group = Group(both, container)
    for directory in group.directories():
        (directory / "inner").mkdir()
    sleeping = lambda: both.processes("^sleep 7654")  # noqa: E731
    both.host.wait_until(lambda: len(sleeping()) == 2, "both", both.daemon.log)
    home = group.directory("pids") / "inner" / "cgroup.procs"
    both.host.shell(f"echo {sleeping()[-1]} >/sys/fs/cgroup/{home.relative_to(group.top)}")
    both("tasks", "kill", "--all", "--signal", "KILL", container).check()
    both.wait_for(container, "STOPPED")
    assert sleeping() == []
    both("tasks", "delete", container)
    assert group.directories() == []


def test_nothing_is_left_of_a_container_whose_shim_was_killed(shim: ContainerdWith) -> None:
    container = shim.up("--memory-limit", str(LIMIT), "--", "sleep", "8765")
    group = Group(shim, container)
    for directory in group.directories():
        (directory / "inner").mkdir()
    (pid,) = shim.shims()
    shim("tasks", "pause", container).check()
    shim.host.shell(f"kill -9 {pid}")
    shim.wait_for(container, "gone")
    gone = lambda: not group.directories() and not shim.processes("^sleep 8765")  # noqa: E731
    shim.host.wait_until(gone, "the end of the cgroup and its process", shim.daemon.log)


def test_a_cgroup_that_is_taken_away(shim: ContainerdWith) -> None:
    """systemd removes the cgroup of a scope when its last process ends, maybe before the shim has
    read why it did. The shim has nothing to do then.
    """
    script = "until test -e /go; do sleep 0.05; done; exec tail /dev/zero"
    container = shim.up("--memory-limit", str(LIMIT), "--", "sh", "-c", script)
    group = Group(shim, container)
    (pid,) = shim.shims()
    shim.host.shell(f"kill -STOP {pid}; : >/proc/{shim.tasks()[container][0]}/root/go")
    for directory in group.directories():
        shim.host.wait_until(lambda place=directory: removed(place), "rmdir", shim.daemon.log)
    shim.host.shell(f"kill -CONT {pid}")
    shim.wait_for(container, "STOPPED")

    def switches() -> int:
        lines = shim.host.shell(f"cat /proc/{pid}/status").splitlines()
        return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

    ticks = lambda: sum(map(int, shim.host.shell(f"cat /proc/{pid}/stat").split()[13:15]))  # noqa: E731
    deadline = time.monotonic() + PATIENCE
    while True:
        before = ticks(), switches()
        time.sleep(1)
        if max(ticks() - before[0], switches() - before[1]) < 20:
            break
        assert time.monotonic() < deadline, "it spins"
    assert "exit code 137" in shim("tasks", "delete", container).stderr


def removed(directory: Path) -> bool:
    """Whether the cgroup could be removed."""
    try:
        directory.rmdir()
    except OSError:
        return False
    return True
