"""Names that become paths (security model, ids and paths): `..`, `/` and oddities are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.canary import Canary
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

BAD_IDS = ("", ".", "..", "../x", "a/b", "/a", "a\nb", "a b", "é", ".hidden", "a" * 1025, "a\tb")


@pytest.mark.parametrize("verb", ["create", "run", "state", "start", "kill", "delete", "exec"])
@pytest.mark.parametrize("name", BAD_IDS)
def test_container_id(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, canary: Canary, verb: str, name: str
) -> None:
    if verb in ("create", "run"):
        result = runtime.call(verb, "--bundle", str(bundle().write().path), name)
    else:
        result = runtime.call(verb, name, *(["true"] if verb == "exec" else []))
    assert_clear(runtime, result, "id", status=255 if verb == "exec" else 1)
    assert not sandbox.root.exists() or not [p for p in sandbox.root.rglob("*") if p.is_dir()]
    assert not (sandbox.directory / "x").exists()
    canary.check()


@pytest.mark.parametrize("name", ["../x", "a/b", "with space", "a:b", "sixteen-letters!", "", "."])
def test_network_device_name(runtime: Runtime, bundle: MakeBundle, name: str) -> None:
    device = runtime.sandbox.new_device()
    made = bundle(args=["/bin/true"], linux={"netDevices": {device: {"name": name}}})
    assert_clear(runtime, runtime.run(made), "netDevices")


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../x"])
def test_closid(runtime: Runtime, bundle: MakeBundle, name: str) -> None:
    made = bundle(args=["/bin/true"], linux={"intelRdt": {"closID": name}})
    assert_clear(runtime, runtime.run(made), "intelRdt")


@pytest.mark.parametrize("path", ["/../../../../ocirt-test", "../../../ocirt-test"])
def test_cgroups_path(
    runtime: Runtime, bundle: MakeBundle, sandbox: Sandbox, canary: Canary, path: str
) -> None:
    """A cgroupsPath cannot leave the hierarchy: it is refused, or `..` stops at its root."""
    target = f"{path}/{sandbox.prefix}"
    result = runtime.run(bundle(args=["/bin/true"], linux={"cgroupsPath": target}))
    if not result.ok:
        assert_clear(runtime, result, "cgroupsPath")
    canary.check()


@pytest.mark.parametrize("path", ["..", "../..", "/..", "a/../../.."])
def test_exec_cgroup(runtime: Runtime, bundle: MakeBundle, path: str) -> None:
    """A cgroup of `exec` lies below the container's own."""
    container = runtime.up(bundle(args=["sleep", "100"]))
    result = runtime.exec(container, "true", options=["--cgroup", path])
    assert_clear(runtime, result, "cgroup", status=255)


@pytest.mark.parametrize("key", ["..", "../memory.max", "a/memory.max", ".", ""])
def test_unified_key(runtime: Runtime, bundle: MakeBundle, key: str) -> None:
    """A key of linux.resources.unified is a file of the container's own cgroup."""
    made = bundle(args=["/bin/true"], linux={"resources": {"unified": {key: "1"}}})
    assert_clear(runtime, runtime.run(made), "unified")


@pytest.mark.parametrize("path", ["/", "/dev/..", "/dev/x/..", "/dev/x/."])
def test_device_path(runtime: Runtime, bundle: MakeBundle, canary: Canary, path: str) -> None:
    """A device has a name: nothing is made at, or in the place of, a directory."""
    device = {"path": path, "type": "c", "major": 1, "minor": 3}
    result = runtime.run(bundle(args=["/bin/true"], linux={"devices": [device]}))
    assert_clear(runtime, result, "devices")
    canary.check()


@pytest.mark.parametrize("root", ["/", "//", "/tmp/.."])
def test_root_is_no_root_directory(runtime: Runtime, root: str) -> None:
    result = runtime.call("--root", root, "list")
    assert_clear(runtime, result, "--root")
