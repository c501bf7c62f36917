"""`plan --syscalls` against strace(1): a real run makes the calls that were foretold."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundle import Bundle
from tests.support.foretold import Seen, compare, container_side
from tests.support.runtime import Runtime

MakeBundle = Callable[..., Bundle]

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


@pytest.fixture
def foretold_and_seen(
    runtime: Runtime, tmp_path: Path
) -> Callable[[Bundle], tuple[dict[str, Any], list[Seen]]]:
    """The plan of a bundle, and what strace has seen of its run."""

    def make(made: Bundle) -> tuple[dict[str, Any], list[Seen]]:
        made.write()
        words = "--syscalls", "--format", "json", "--bundle", str(made.path), made.name
        command = [runtime.binary, "--root", runtime.root, "plan", *words]
        # The streams of both are pipes: `run` would put pipes before files in a user namespace.
        with runtime.sandbox.null.open("rb") as null:
            environment = runtime.sandbox.environment()
            done = subprocess.run(
                command, stdin=null, capture_output=True, env=environment, check=True
            )
        document = json.loads(done.stdout)
        assert not list((made.path / "rootfs/proc").iterdir())
        traces = tmp_path / "traces"
        traces.mkdir()
        wrapper = ("strace", "-ff", "-qq", "-s", "4096", "-o", str(traces / "of"))
        output, into = os.pipe()
        try:
            how: dict[str, Any] = {"stdout": into, "stderr": into, "wrapper": wrapper}
            runtime.run(made, container=made.name, **how).check()
        finally:
            os.close(output)
            os.close(into)
        return document, container_side(traces)

    return make


Both = Callable[[Bundle], tuple[dict[str, Any], list[Seen]]]


def minimal(made: Bundle) -> None:
    """Namespaces and a program; nothing is mounted, hidden or limited."""
    config = made.config
    config["mounts"] = []
    config["linux"] = {"namespaces": [{"type": "mount"}, {"type": "pid"}]}
    config.pop("hostname", None)


def ordinary(_: Bundle) -> None:
    """The mounts, devices and hidden paths that every engine asks for."""


def as_of_engines(made: Bundle) -> None:
    """What engines write besides: bind mounts, sysctls, a limit, a user with another HOME."""
    source = made.path / "hosts"
    source.write_text("127.0.0.1 localhost\n")
    made.add_mount("/etc/hosts", "bind", source, ["rbind", "rprivate", "ro"])
    made.add_mount("/data/below", "bind", made.path, ["rbind", "ro", "nosuid"])
    made.add_mount("/run", "tmpfs", "tmpfs", ["nosuid", "mode=755", "size=64k"])
    made.config["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
    made.config["root"]["readonly"] = True
    made.config["process"]["cwd"] = "/"
    made.config["process"]["noNewPrivileges"] = True


def in_user_namespace(made: Bundle) -> None:
    """Ids that are not the host's; devices are bound there."""
    mappings = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    made.add_namespace("user")
    made.config["linux"].update(uidMappings=mappings, gidMappings=mappings)


@pytest.mark.parametrize("change", [minimal, in_user_namespace, ordinary, as_of_engines])
def test_a_real_run_makes_these_calls_in_this_order(
    foretold_and_seen: Both, bundle: MakeBundle, change: Callable[[Bundle], None]
) -> None:
    made = bundle(["/bin/true"])
    change(made)
    document, seen = foretold_and_seen(made)
    compare(document, seen)
    at = [call.name for call in seen].index("setsid")
    for other in ([*seen[:at], *seen[at + 1 :]], [*seen[:at], seen[0], *seen[at:]]):
        with pytest.raises(AssertionError, match="otherwise"):
            compare(document, other)
