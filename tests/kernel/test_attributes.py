"""Attributes of the process: scheduling, I/O priority, CPUs, memory policy, execution domain
(config.md, "Linux Process"; config-linux.md, "Memory Policy" and "Personality").
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime
from tests.support.verdict import assert_clear

MakeBundle = Callable[..., Bundle]
BATCH, IDLE = 3, 5
# Fields behind the program's name in /proc/PID/stat (proc_pid_stat(5)): nice and policy.
NICE, POLICY = 16, 38


def stat(text: str) -> list[str]:
    return text.rpartition(") ")[2].split()


def process_file(tmp_path: Path, made: Bundle, args: list[str], **settings: Any) -> str:
    """A file for `exec --process`: the bundle's process with other arguments and settings."""
    process = {**made.config["process"], "args": args, **settings}
    path = tmp_path / "process.json"
    path.write_text(json.dumps(process))
    return str(path)


def run_inside(
    runtime: Runtime, made: Bundle, tmp_path: Path, args: list[str], **settings: Any
) -> str:
    """What `exec` of a process with these settings prints."""
    made.args = ["sleep", "100"]
    container = runtime.up(made)
    file = process_file(tmp_path, made, args, **settings)
    return runtime.exec(container, options=["--process", file]).check().stdout


def test_scheduler(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/process/scheduler", {"policy": "SCHED_BATCH", "nice": 5})
    fields = stat(runtime.run_output(made, ["cat", "/proc/self/stat"]))
    assert (fields[POLICY], fields[NICE]) == (str(BATCH), "5")


def test_scheduler_of_exec(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    """It is the process's own: nothing of the container's scheduler is inherited."""
    made = bundle().set("/process/scheduler", {"policy": "SCHED_BATCH", "nice": 5})
    idle = {"policy": "SCHED_IDLE"}
    text = run_inside(runtime, made, tmp_path, ["cat", "/proc/self/stat"], scheduler=idle)
    assert stat(text)[POLICY] == str(IDLE)


def test_scheduler_in_a_user_namespace(runtime: Runtime, bundle: MakeBundle) -> None:
    """Root of the host sets it: root of the namespace could not lower the nice value."""
    mapping = [{"containerID": 0, "hostID": 100_000, "size": 65536}]
    made = bundle().add_namespace("user").set("/linux/uidMappings", mapping)
    made.set("/linux/gidMappings", mapping)
    made.set("/process/scheduler", {"policy": "SCHED_OTHER", "nice": -5})
    assert stat(runtime.run_output(made, ["cat", "/proc/self/stat"]))[NICE] == "-5"


def test_refused_scheduler_is_explained(runtime: Runtime, bundle: MakeBundle) -> None:
    """A deadline longer than any CPU has time for."""
    settings = {"policy": "SCHED_DEADLINE", "runtime": 9 * 10**9, "deadline": 9 * 10**9}
    made = bundle().set("/process/scheduler", settings)
    assert_clear(runtime, runtime.create(made), "process.scheduler")


def io_priority(pid: int) -> str:
    """The words of ionice(1) for a process."""
    command = ["ionice", "-p", str(pid)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.parametrize(
    ("priority", "shown"),
    [
        ({"class": "IOPRIO_CLASS_BE", "priority": 6}, "best-effort: prio 6"),
        ({"class": "IOPRIO_CLASS_IDLE", "priority": 0}, "idle"),
    ],
)
def test_io_priority(
    runtime: Runtime, bundle: MakeBundle, priority: dict[str, Any], shown: str
) -> None:
    made = bundle(["sleep", "100"]).set("/process/ioPriority", priority)
    assert io_priority(runtime.pid(runtime.up(made))) == shown


@pytest.mark.parametrize(("domain", "machine"), [("LINUX32", "i686"), ("LINUX", "x86_64")])
def test_personality(runtime: Runtime, bundle: MakeBundle, domain: str, machine: str) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("uname of other machines has other names")
    made = bundle().set("/linux/personality", {"domain": domain})
    assert runtime.run_output(made, ["uname", "-m"]) == machine + "\n"


def test_personality_of_exec(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    """It is the container's, for every process in it."""
    made = bundle().set("/linux/personality", {"domain": "LINUX32"})
    assert run_inside(runtime, made, tmp_path, ["uname", "-m"]) in ("i686\n", "armv8l\n")


numa = pytest.mark.skipif(
    not Path("/proc/self/numa_maps").exists(), reason="this kernel has no NUMA policies"
)


@numa
@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0-0"}, "interleave:0"),
        ({"mode": "MPOL_PREFERRED", "nodes": " 0 "}, "prefer:0"),
        ({"mode": "MPOL_LOCAL"}, "local"),
        ({"mode": "MPOL_DEFAULT"}, "default"),
    ],
)
def test_memory_policy(
    runtime: Runtime, bundle: MakeBundle, policy: dict[str, Any], shown: str
) -> None:
    made = bundle().set("/linux/memoryPolicy", policy)
    assert runtime.run_output(made, ["cat", "/proc/self/numa_maps"]).split()[1] == shown


@numa
def test_memory_policy_of_exec(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    made = bundle().set("/linux/memoryPolicy", {"mode": "MPOL_BIND", "nodes": "0"})
    text = run_inside(runtime, made, tmp_path, ["cat", "/proc/self/numa_maps"])
    assert text.split()[1] == "bind:0"


@numa
def test_missing_node(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/linux/memoryPolicy", {"mode": "MPOL_BIND", "nodes": "1000"})
    assert_clear(runtime, runtime.create(made), "linux.memoryPolicy", "node")


def cpus(text: str) -> str:
    return next(
        line.split()[1] for line in text.splitlines() if line.startswith("Cpus_allowed_list")
    )


def test_final_cpus_of_exec(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    last = max(os.sched_getaffinity(0))
    affinity = {"initial": "0", "final": str(last)}
    text = run_inside(
        runtime, bundle(), tmp_path, ["cat", "/proc/self/status"], execCPUAffinity=affinity
    )
    assert cpus(text) == str(last)


def test_initial_cpus_of_exec(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    """Without final ones the process stays where it was made."""
    text = run_inside(
        runtime, bundle(), tmp_path, ["cat", "/proc/self/status"], execCPUAffinity={"initial": "0"}
    )
    assert cpus(text) == "0"


def test_cpus_are_for_exec_only(runtime: Runtime, bundle: MakeBundle) -> None:
    own = cpus(Path("/proc/self/status").read_text())
    made = bundle().set("/process/execCPUAffinity", {"initial": "0", "final": "0"})
    assert cpus(runtime.run_output(made, ["cat", "/proc/self/status"])) == own


def test_missing_cpu(runtime: Runtime, bundle: MakeBundle, tmp_path: Path) -> None:
    made = bundle(["sleep", "100"])
    container = runtime.up(made)
    file = process_file(tmp_path, made, ["true"], execCPUAffinity={"final": "8000"})
    result = runtime.exec(container, options=["--process", file])
    assert_clear(runtime, result, "execCPUAffinity.final", "CPU", status=255)
