"""state.json was changed by somebody: nobody else's process is killed, no cgroup of others is
removed, and `delete --force` always ends with the container gone.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ociruntime.cgroups.detect import detect
from ociruntime.kernel.kernel import Kernel
from tests.support.patience import PATIENCE

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
COPY = ".state.json.new"
LAYOUT = detect(Kernel())


def changed(**values: object) -> Callable[[bytes], bytes]:
    def damage(text: bytes) -> bytes:
        return json.dumps({**json.loads(text), **values}).encode()

    return damage


def elsewhere(text: bytes) -> bytes:
    """The cgroup of somebody else, in valid form."""
    data = json.loads(text)
    data["cgroup"]["paths"] = {
        key: os.path.dirname(path) for key, path in data["cgroup"]["paths"].items()
    }
    data["cgroup"]["existing"] = dict.fromkeys(data["cgroup"]["existing"], 0)
    return json.dumps(data).encode()


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda text: text[: len(text) // 2],
    "no object": lambda _: b"[]",
    "other status": changed(status="stopped"),
    "no pid": changed(pid=None),
    "pid 1": changed(pid=1),
    "no cgroup": changed(cgroup=None),
    "cgroup of somebody": elsewhere,
    "cgroup of no type": changed(cgroup=[1]),
    "hooks": changed(hooks={"poststop": 1}),
    "rdt": changed(rdt="class"),
    "one bit": lambda text: text.replace(b"running", b"runninh").replace(b"created", b"creating"),
}


def up(runtime: Runtime, made: Bundle) -> str:
    """A container whose cgroup has its id, as engines name it."""
    container = runtime.create(made, container=made.name).check().container
    runtime.start(container).check()
    return container


def make_cgroup(cgroup: Path) -> None:
    cgroup.mkdir()
    for file in ("cpuset.cpus", "cpuset.mems"):
        if (cgroup / file).exists() and not (cgroup / file).read_text().strip():
            (cgroup / file).write_text((cgroup.parent / file).read_text())


def gone(pidfd: int) -> bool:
    ready, _, _ = select.select([pidfd], [], [], PATIENCE)
    return bool(ready)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("both", [False, True], ids=["state", "copy-too"])
def test_delete_by_force(runtime: Runtime, bundle: MakeBundle, damage: str, both: bool) -> None:
    container = up(runtime, bundle(args=["sleep", "100"]))
    other = runtime.up(bundle(args=["sleep", "100"]))
    pidfd = os.pidfd_open(runtime.pid(container))
    directory = runtime.root / container
    for name in ("state.json", COPY) if both else ("state.json",):
        path: Path = directory / name
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    if damage != "one bit" or not both:
        for call in (runtime.state(container), runtime.kill(container), runtime.start(container)):
            assert call.status == 1
            assert f"delete --force {container}" in call.stderr, call
    done = runtime.delete(container, "--force").check()
    assert "internal error" not in done.stderr
    assert gone(pidfd)
    os.close(pidfd)
    assert not directory.exists()
    assert not [path for path in runtime.sandbox.cgroups() if path.name == container]
    assert runtime.status(other) == "running"


def test_state_of_another_container(runtime: Runtime, bundle: MakeBundle) -> None:
    container = up(runtime, bundle(args=["sleep", "100"]))
    other = runtime.up(bundle(args=["sleep", "100"]))
    pidfd = os.pidfd_open(runtime.pid(container))
    for name in ("state.json", COPY):
        (runtime.root / container / name).write_bytes((runtime.root / other / name).read_bytes())
    done = runtime.delete(container, "--force").check()
    assert "look for processes" in done.stderr
    assert gone(pidfd)
    os.close(pidfd)
    assert runtime.status(other) == "running"


@pytest.mark.skipif(not LAYOUT.hierarchies, reason="needs cgroups")
def test_a_cgroup_that_was_there_before(runtime: Runtime, bundle: MakeBundle) -> None:
    """The container was put into it; who else is below it has nothing to do with that."""
    name = f"{runtime.sandbox.prefix}-shared"
    places = [Path(item.mountpoint, "ocirt-test", name) for item in LAYOUT.hierarchies]
    for place in places:
        make_cgroup(place)
    with subprocess.Popen(["sleep", "100"]) as neighbour:
        try:
            made = bundle(args=["sleep", "100"]).set("/linux/cgroupsPath", f"/ocirt-test/{name}")
            container = runtime.up(made)
            for place in places:
                make_cgroup(place / "neighbour")
                (place / "neighbour/cgroup.procs").write_text(str(neighbour.pid))
            pidfd = os.pidfd_open(runtime.pid(container))
            for file in ("state.json", COPY):
                path = runtime.root / container / file
                path.write_bytes(DAMAGES["other status"](path.read_bytes()))
            done = runtime.delete(container, "--force").check()
            assert "look for processes" in done.stderr
            assert neighbour.poll() is None
            assert all(place.is_dir() for place in places)
            assert gone(pidfd)
            os.close(pidfd)
        finally:
            neighbour.kill()
    for place in places:
        (place / "neighbour").rmdir()
        place.rmdir()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"hooks": 1}', b'{"hooks": {}}'])
def test_stored_configuration(runtime: Runtime, bundle: MakeBundle, content: bytes) -> None:
    """What poststop hooks and start read."""
    hooks: dict[str, Any] = {
        "poststop": [{"path": "/bin/true"}],
        "poststart": [{"path": "/bin/true"}],
    }
    container = runtime.create(bundle(args=["sleep", "100"], hooks=hooks)).check().container
    (runtime.root / container / "config.json").write_bytes(content)
    for call in (runtime.start(container), runtime.exec(container, "true")):
        assert not call.ok
        assert "internal error" not in call.stderr
    done = runtime.delete(container, "--force").check()
    assert "config.json is damaged" in done.stderr
