"""CVE-2023-25173 and kin: supplementary groups are those of config.json, not the caller's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

SCRIPT = "grep ^Groups: /proc/self/status"
CALLER = ["setpriv", "--groups=4,27,100", "--"]


@pytest.mark.parametrize("groups", [[], [7], [7, 4294967294]])
@pytest.mark.parametrize("uid", [0, 1000])
def test_run(runtime: Runtime, bundle: MakeBundle, uid: int, groups: list[int]) -> None:
    """setgroups is always called, for the empty list too."""
    made = bundle(process={"user": {"uid": uid, "gid": uid, "additionalGids": groups}})
    result = runtime.run(made.shell(SCRIPT), wrapper=CALLER).check()
    assert result.stdout.split()[1:] == [str(group) for group in groups]


def test_exec(runtime: Runtime, bundle: MakeBundle) -> None:
    container = runtime.up(bundle(args=["sleep", "100"]))
    command = ["sh", "-c", SCRIPT]
    result = runtime.exec(container, *command, wrapper=CALLER).check()
    assert result.stdout.split()[1:] == []


def test_exec_process_file(runtime: Runtime, bundle: MakeBundle) -> None:
    """exec --process: additionalGids of the file, and nothing else."""
    made = bundle(args=["sleep", "100"])
    container = runtime.up(made)
    process = {**made.config["process"], "args": ["sh", "-c", SCRIPT]}
    process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 6]}
    path = made.path / "process.json"
    path.write_text(json.dumps(process))
    result = runtime.call("exec", "--process", str(path), container, wrapper=CALLER).check()
    assert result.stdout.split()[1:] == ["5", "6"]
