"""CVE-2022-0811 and its kin: a sysctl sets itself only, in a namespace of the container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

HOST = (
    Path("/proc/sys/kernel/printk_ratelimit_burst"),
    Path("/proc/sys/net/ipv4/ip_default_ttl"),
    Path("/proc/sys/kernel/shm_rmid_forced"),
)
OTHER = "kernel.printk_ratelimit_burst"


@pytest.fixture(scope="session")
def original_values() -> dict[Path, str]:
    """The host's settings before any test."""
    return {path: path.read_text() for path in HOST}


@pytest.fixture(autouse=True)
def host_values(original_values: dict[Path, str]) -> Iterator[None]:
    """The host's settings that could be set: kept, and put back if they were not."""
    yield
    changed = [path for path, value in original_values.items() if path.read_text() != value]
    for path in changed:
        path.write_text(original_values[path])
    assert not changed, f"set on the host: {changed}"


@pytest.mark.parametrize("value", ["1+{}=99", "1\n{}=99", "1\0{}=99", "1\r\n99", "1\n\n"])
def test_separator_in_value(runtime: Runtime, bundle: MakeBundle, value: str) -> None:
    made = bundle(linux={"sysctl": {"kernel.shm_rmid_forced": value.format(OTHER)}})
    result = runtime.run(made)
    words = ["U+0000"] if "\0" in value else ["kernel.shm_rmid_forced"]
    assert_clear(runtime, result, *words)


@pytest.mark.parametrize(
    "key",
    [
        OTHER,
        "kernel/printk_ratelimit_burst",
        "net/../kernel/printk_ratelimit_burst",
        "net....kernel.printk_ratelimit_burst",
        "net/ipv4/../../kernel/printk_ratelimit_burst",
        "net.ipv4./../../kernel/printk_ratelimit_burst",
        "fs.mqueue./../../kernel/printk_ratelimit_burst",
        "/proc/sys/kernel/printk_ratelimit_burst",
        "net//../kernel/printk_ratelimit_burst",
        "kernel.sem/../printk_ratelimit_burst",
        "kernel.shm/../printk_ratelimit_burst",
        "kernel.msg/../printk_ratelimit_burst",
        "",
        ".",
    ],
)
def test_key_outside_namespace(runtime: Runtime, bundle: MakeBundle, key: str) -> None:
    made = bundle(linux={"sysctl": {key: "99"}})
    assert_clear(runtime, runtime.run(made), "sysctl")


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("ipc", "kernel.shm_rmid_forced"),
        ("ipc", "fs.mqueue.msg_max"),
        ("network", "net.ipv4.ip_default_ttl"),
        ("uts", "kernel.domainname"),
    ],
)
def test_needs_own_namespace(runtime: Runtime, bundle: MakeBundle, kind: str, key: str) -> None:
    """Without the namespace the setting is the host's."""
    made = bundle(linux={"sysctl": {key: "1"}}).drop_namespace(kind)
    if kind == "uts":
        made.remove("/hostname")
    assert_clear(runtime, runtime.run(made), key)


@pytest.mark.parametrize("path", ["/proc/1/ns/net", "/proc/self/ns/net"])
def test_joined_host_network(runtime: Runtime, bundle: MakeBundle, path: str) -> None:
    """A network namespace given by path that is the host's own is no namespace of its own."""
    made = bundle(linux={"sysctl": {"net.ipv4.ip_default_ttl": "65"}})
    made.drop_namespace("network").add_namespace("network", path)
    assert_clear(runtime, runtime.run(made), "net")
