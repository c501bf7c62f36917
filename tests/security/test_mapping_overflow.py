"""CVE-2021-43784: what is long arrives whole in the container, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear, attempt

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

MANY = 4096  # as text more than 64 KiB, the range of a netlink attribute's length


@pytest.mark.parametrize("kind", ["uidMappings", "gidMappings"])
def test_mappings(runtime: Runtime, bundle: MakeBundle, kind: str) -> None:
    """The kernel takes 340 lines at most (user_namespaces(7)): more is refused."""
    made = bundle(args=["/bin/true"]).add_namespace("user")
    one = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made.set("/linux/uidMappings", one).set("/linux/gidMappings", one)
    many = [{"containerID": number, "hostID": 100000 + number, "size": 1} for number in range(MANY)]
    made.set(f"/linux/{kind}", many)
    assert_clear(runtime, runtime.run(made), "mapping")


@pytest.mark.parametrize("length", [4096, 65536 + 8, 70000])
def test_namespace_path(runtime: Runtime, bundle: MakeBundle, length: int) -> None:
    made = bundle(args=["/bin/true"]).drop_namespace("ipc")
    made.add_namespace("ipc", "/proc/self/ns/" + "ipc/" * (length // 4))
    assert_clear(runtime, runtime.run(made), "namespace")


@pytest.mark.parametrize("size", [65535, 65536, 65536 + 24, 120_000])
def test_long_argument_arrives_whole(runtime: Runtime, bundle: MakeBundle, size: int) -> None:
    made = bundle()
    made.config["process"]["env"].append("LONG=" + "x" * size)
    assert attempt(runtime, made, 'echo "${#LONG}"') == f"{size}\n"


def test_long_environment_arrives_whole(runtime: Runtime, bundle: MakeBundle) -> None:
    """A megabyte in many pieces, the last one intact."""
    made = bundle()
    made.config["process"]["env"] += [f"V{number}={'y' * 1000}" for number in range(1000)]
    assert attempt(runtime, made, 'echo "${#V0} ${#V999}"') == "1000 1000\n"
