"""The caller's session keyring is not the container's (security model, keyrings)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime


def test_new_session_keyring(runtime: Runtime, bundle: MakeBundle, probe: Path) -> None:
    """It is named after the container, so that an administrator can tell whose it is."""
    made = bundle(args=["/probe", "keyring"]).install(probe, "/probe")
    result = runtime.run(made).check()
    name = result.stdout.strip().split(";")[-1]
    assert name in (f"_ses.{result.container}", result.container)


def test_two_containers_differ(runtime: Runtime, bundle: MakeBundle, probe: Path) -> None:
    made = bundle(args=["/probe", "keyring"]).install(probe, "/probe")
    first, second = (runtime.run(made).check().stdout for _ in range(2))
    assert first != second


def test_no_new_keyring(runtime: Runtime, bundle: MakeBundle, probe: Path) -> None:
    """--no-new-keyring keeps the caller's, on request only."""
    made = bundle(args=["/probe", "keyring"]).install(probe, "/probe")
    result = runtime.run(made, "--no-new-keyring").check()
    assert result.container not in result.stdout
