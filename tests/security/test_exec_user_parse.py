"""CVE-2026-30892's class: the user of exec is a decimal number, in range, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.verdict import assert_clear

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

GOOD = {"1": "1 0", "0": "0 0", "1:2": "1 2", "4294967294": "4294967294 0"}
BAD = ("4294967295", "4294967296", "-1", "1:", ":1", "+1", " 1", "1x", "0x1", "1:-1", "1:2:3")


@pytest.fixture
def container(runtime: Runtime, bundle: MakeBundle) -> str:
    return runtime.up(bundle(args=["sleep", "100"]))


@pytest.mark.parametrize(("user", "expected"), GOOD.items())
def test_good(runtime: Runtime, container: str, user: str, expected: str) -> None:
    script = "echo $(id -u) $(id -g)"
    result = runtime.exec(container, "sh", "-c", script, options=["-u", user])
    assert result.check().stdout.strip() == expected


@pytest.mark.parametrize("user", BAD)
def test_bad(runtime: Runtime, container: str, user: str) -> None:
    """Anything else is refused."""
    result = runtime.exec(container, "id", "-u", options=[f"--user={user}"])
    assert_clear(runtime, result, "uid", status=255)


def test_empty(runtime: Runtime, container: str) -> None:
    """An empty user is no user, hence the container's own, or an error."""
    result = runtime.exec(container, "id", "-u", options=["--user="])
    if result.ok:
        assert result.stdout.strip() == "0"
    else:
        assert_clear(runtime, result, "uid", status=255)
