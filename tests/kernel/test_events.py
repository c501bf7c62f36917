"""events: what a container uses, in runc's shape, and when its memory runs out."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.runtime import TIMEOUT, Runtime

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
LAYOUT = detect(Kernel())
V2 = LAYOUT.mode == "v2"
RUNC = shutil.which("runc")
MIB = 1 << 20
WORK = "x=$(dd if=/dev/zero bs=1M count=3 | tr '\\0' a); dd if=/dev/zero of=/file bs=1M count=2; "
NEEDS_MEMORY = pytest.mark.skipif(LAYOUT.find("memory") is None, reason="needs memory limits")


@pytest.fixture
def watch(runtime: Runtime) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `events` in the background."""
    started = []

    def start(*words: str) -> subprocess.Popen[str]:
        command = [str(runtime.binary), "--root", str(runtime.root), "events", *words]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=runtime.sandbox.environment()
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def shape(value: Any) -> Any:
    """Names and types, in order."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def busy(bundle: Bundle) -> Bundle:
    bundle.shell(WORK + "touch /ready; sleep 100; : $x")
    return bundle.set(
        "/linux/resources",
        {
            "memory": {"limit": 64 * MIB},
            "pids": {"limit": 50},
            "cpu": {"quota": 90000},
            "devices": [{"allow": False, "access": "rwm"}],
        },
    )


def up(runtime: Runtime, bundle: Bundle) -> str:
    container = runtime.up(bundle)
    while not (bundle.rootfs / "ready").exists():
        pass
    return container


@NEEDS_MEMORY
@pytest.mark.skipif(RUNC is None, reason="needs runc")
def test_the_shape_is_that_of_runc(runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox) -> None:
    peer = Runtime(Path(str(RUNC)), sandbox)
    peer.root = sandbox.directory / "state-of-runc"
    made = busy(bundle())
    mine = up(runtime, made)
    try:
        their = up(peer, busy(bundle()))
        ours = runtime.call("events", "--stats", mine).check().stdout
        theirs = peer.call("events", "--stats", their).check().stdout
    finally:
        assert not peer.remove_all()
    assert ours.count("\n") == theirs.count("\n") == 1
    left, right = json.loads(ours), json.loads(theirs)
    for document in (left, right):
        # Since runc 1.2.
        for part in document["data"].values():
            if isinstance(part, dict):
                part.pop("psi", None)
        if V2:
            # What runc does not tell there, or not before 1.2: the CPUs in effect, the peak.
            for section, name in (("cpuset", "cpus"), ("cpuset", "mems")):
                document["data"][section].pop(name, None)
            document["data"]["memory"]["usage"].pop("max", None)
        # Left out when nothing happened.
        for path in (("cpu", "throttling"), ("blkio",)):
            part = document["data"]
            for name in path:
                part = part[name]
            part.clear()
    assert list(left) == list(right)
    assert json.dumps(shape(left)) == json.dumps(shape(right))
    for name in ("limit",):
        assert left["data"]["memory"]["usage"][name] == right["data"]["memory"]["usage"][name]
    assert left["data"]["cpuset"] == right["data"]["cpuset"]
    assert left["data"]["pids"] == right["data"]["pids"]


@NEEDS_MEMORY
def test_the_numbers_are_true(runtime: Runtime, bundle: MakeBundle) -> None:
    container = up(runtime, busy(bundle()))
    event = runtime.call("events", "--stats", container).check().json()
    assert (event["type"], event["id"]) == ("stats", container)
    data = event["data"]
    assert data["memory"]["usage"]["limit"] == 64 * MIB
    assert 3 * MIB < data["memory"]["usage"]["usage"] < 64 * MIB
    assert data["memory"]["raw"]
    assert data["pids"] == {"current": 2, "limit": 50}
    usage = data["cpu"]["usage"]
    assert 10**6 < usage["total"] < 10**11
    assert set(data) >= {"cpu", "cpuset", "memory", "pids", "blkio", "hugetlb"}


@NEEDS_MEMORY
def test_out_of_memory_is_told_and_the_end_ends_it(
    runtime: Runtime, bundle: MakeBundle, watch: Callable[..., subprocess.Popen[str]]
) -> None:
    made = bundle().shell(
        "touch /ready; until [ -e /go ]; do sleep 0.01; done; "
        "x=a; while :; do x=$x$x; done & wait; touch /told; sleep 100"
    )
    made.set("/linux/resources/memory", {"limit": 16 * MIB, "swap": 16 * MIB})
    container = up(runtime, made)
    process = watch("--interval", "100ms", container)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "stats"
    (made.rootfs / "go").touch()
    # Whatever happens, the test does not wait for ever.
    timer = threading.Timer(TIMEOUT, process.kill)
    timer.start()
    try:
        while (event := json.loads(process.stdout.readline()))["type"] == "stats":
            pass
        assert event == {"type": "oom", "id": container}
        runtime.kill(container, "KILL").check()
        assert process.wait() == 0
    finally:
        timer.cancel()


def test_mistakes(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle(args=["true"]))
    runtime.wait_for(container, "stopped")
    for options, words in (
        (("--stats",), "container not running"),
        ((), "container not running"),
        (("--interval", "0s"), "must be greater than 0"),
        (("--interval", "-5s"), "not a time"),
        (("--interval", "5"), "not a time"),
        (("--interval", "1m.s"), "not a time"),
    ):
        result = runtime.call("events", *options, container)
        assert result.status == 1, options
        assert words in result.stderr
    assert "container does not exist" in runtime.call("events", "nobody").stderr
