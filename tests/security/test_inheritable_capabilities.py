"""CVE-2022-29162, CVE-2022-27650, CVE-2025-27612: the inheritable set is what config.json says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

NET_RAW = 1 << 13


def _sets(output: str) -> dict[str, int]:
    lines = [line.split() for line in output.splitlines() if line.startswith("Cap")]
    return {name.rstrip(":"): int(value, 16) for name, value in lines}


@pytest.mark.parametrize("uid", [0, 1000])
def test_run(runtime: Runtime, bundle: MakeBundle, probe: Path, uid: int) -> None:
    made = bundle(process={"user": {"uid": uid, "gid": uid}}).install(probe, "/probe")
    sets = _sets(runtime.run_output(made, ["/probe", "creds"]))
    assert sets["CapInh"] == sets["CapAmb"] == 0
    assert sets["CapBnd"] & NET_RAW
    assert bool(sets["CapEff"]) == (uid == 0)


@pytest.mark.parametrize("uid", ["0", "1000"])
def test_exec_with_capability(runtime: Runtime, bundle: MakeBundle, probe: Path, uid: str) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]).install(probe, "/probe"))
    options = ["--cap", "CAP_SYS_TIME", "--user", uid]
    sets = _sets(runtime.exec(container, "/probe", "creds", options=options).check().stdout)
    assert sets["CapInh"] == 0
    assert sets["CapAmb"] == 0
    assert sets["CapBnd"] & 1 << 25, "CAP_SYS_TIME was not granted"


def test_configured_sets_are_kept(runtime: Runtime, bundle: MakeBundle, probe: Path) -> None:
    """What config.json asks for is done: inheritable and ambient too."""
    made = bundle(process={"user": {"uid": 1000, "gid": 1000}}).install(probe, "/probe")
    for kind in ("inheritable", "ambient"):
        made.set(f"/process/capabilities/{kind}", ["CAP_NET_RAW"])
    sets = _sets(runtime.run_output(made, ["/probe", "creds"]))
    assert sets["CapInh"] == sets["CapAmb"] == sets["CapEff"] == NET_RAW


def test_spec_has_none(runtime: Runtime) -> None:
    """The template for new bundles grants no inheritable capability."""
    directory = runtime.sandbox.bundles / "spec"
    directory.mkdir()
    runtime.call("spec", "--bundle", str(directory), cwd=directory).check()
    config = json.loads((directory / "config.json").read_text())
    assert not config["process"]["capabilities"].get("inheritable")
