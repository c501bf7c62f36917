"""Limits that the caller set for the runtime itself: a clear error, no signal, no fault of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime

MakeBundle = Callable[..., "Bundle"]
LIMITS = ("fsize=0", "fsize=4096", "data=1000000", "data=8000000", "as=4000000", "as=30000000")
FILES = tuple(f"nofile={number}" for number in range(4, 13))


@pytest.mark.parametrize("limit", [*LIMITS, *FILES])
def test_every_command(runtime: Runtime, bundle: MakeBundle, limit: str) -> None:
    made = bundle(args=["sleep", "100"])
    container = runtime.up(made)
    wrapper = ["prlimit", f"--{limit}:"]
    bundle_path = str(made.path)
    for words in (
        ["state", container],
        ["list"],
        ["exec", container, "true"],
        ["ps", "--format", "json", container],
        ["pause", container],
        ["resume", container],
        ["run", "--bundle", bundle_path, "--detach", f"{container}-2"],
        ["kill", container, "KILL"],
        ["delete", "--force", container],
    ):
        done = runtime.call(*words, wrapper=wrapper)
        assert done.status >= 0, done
        assert "internal error" not in done.stderr, done
        assert "Traceback" not in done.stderr, done
        # Our standard error is a file: with nothing to write to it nothing can be said.
        assert done.ok or done.stderr or limit == "fsize=0", done
        assert done.ok or "install the package" not in done.stderr, done
        if done.ok and words[0] == "list":
            assert container in done.stdout, done
    runtime.delete(f"{container}-2", "--force").check()


def test_list_that_cannot_read(runtime: Runtime, bundle: MakeBundle) -> None:
    """Descriptors are short: it says so, and fails."""
    container = runtime.up(bundle(args=["sleep", "100"]))
    done = runtime.call("list", wrapper=["prlimit", "--nofile=4:"])
    assert done.status == 1
    assert container in done.stderr
    assert "open files" in done.stderr.lower()


@pytest.mark.parametrize("name", ["env", "args"])
def test_a_text_that_no_program_can_be_given(
    runtime: Runtime, bundle: MakeBundle, name: str
) -> None:
    made = bundle(args=["true"])
    made.config["process"][name].append("LONG=" + "x" * 131072)
    index = len(made.config["process"][name]) - 1
    done = runtime.create(made)
    assert done.status == 1
    assert f"process.{name}[{index}]" in done.stderr
    assert "128 KiB" in done.stderr


def test_quota_below_the_burst(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle(args=["sleep", "100"])
    made.config["linux"]["resources"]["cpu"] = {"quota": 50000, "period": 100000, "burst": 40000}
    created = runtime.create(made)
    if "no such" in created.stderr or "has no" in created.stderr:
        pytest.skip("this host's cgroups have no burst")
    created.check()
    done = runtime.call("update", "--cpu-quota", "20000", created.container)
    assert done.ok or "burst" in done.stderr
