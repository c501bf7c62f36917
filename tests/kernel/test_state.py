"""What `state` tells (runtime.md, "State")."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime

MakeBundle = Callable[..., Bundle]


def test_document(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"], annotations={"com.example.key": 'välue "quoted"'})
    container = runtime.create(made).check().container
    document = runtime.state(container).check().json()
    assert document["ociVersion"].startswith("1.")
    assert document["id"] == container
    assert document["status"] == "created"
    assert document["bundle"] == str(made.path)
    assert document["annotations"] == {"com.example.key": 'välue "quoted"'}
    assert os.readlink(f"/proc/{document['pid']}/ns/pid") != os.readlink("/proc/self/ns/pid")
    runtime.start(container).check()
    running = runtime.state(container).check().json()
    assert running == {**document, "status": "running"}


def test_stopped_has_no_pid(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle(args=["true"]))
    runtime.wait_for(container, "stopped")
    assert runtime.state(container).check().json().get("pid", 0) == 0


def test_no_annotations(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.create(bundle()).check().container
    assert not runtime.state(container).check().json().get("annotations")


def test_relative_bundle(runtime: Runtime, bundle: MakeBundle) -> None:
    """The bundle is absolute in the state, however it was given."""
    made = bundle().write()
    name = made.name
    runtime.created.append(name)
    runtime.call("create", "--bundle", made.path.name, name, cwd=made.path.parent).check()
    assert runtime.state(name).check().json()["bundle"] == str(made.path)
    other = runtime.sandbox.new_id()
    runtime.created.append(other)
    made.set("/linux/cgroupsPath", made.config["linux"]["cgroupsPath"] + "-other").write()
    runtime.call("create", other, cwd=made.path).check()
    assert runtime.state(other).check().json()["bundle"] == str(made.path)


def test_state_survives_the_rootfs(runtime: Runtime, bundle: MakeBundle) -> None:
    """Neither state nor delete need the bundle."""
    made = bundle(args=["sleep", "100"])
    container = runtime.create(made).check().container
    made.path.rename(made.path.with_name("moved"))
    assert runtime.status(container) == "created"
    runtime.delete(container).check()


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_death_is_seen(runtime: Runtime, bundle: MakeBundle, signal: str) -> None:
    """The status comes from the kernel, whoever killed the process."""
    container = runtime.create(bundle()).check().container
    os.kill(runtime.pid(container), 9 if signal == "KILL" else 15)
    runtime.wait_for(container, "stopped")
