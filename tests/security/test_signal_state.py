"""Signal masks and dispositions of the caller, and Python's ignored ones, stay outside.

Python ignores SIGPIPE and SIGXFSZ, nohup SIGHUP, many a caller SIGPIPE; execve keeps all of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.security.conftest import MakeBundle
    from tests.support.runtime import Runtime

IGNORING = ["sh", "-c", "trap '' PIPE HUP USR1 XFSZ; exec \"$@\"", "sh"]


def _masks(output: str) -> dict[str, int]:
    fields = (line.split() for line in output.splitlines())
    return {name.rstrip(":"): int(value, 16) for name, value in fields if name != "SigQ:"}


@pytest.mark.parametrize("verb", ["run", "exec"])
@pytest.mark.parametrize("caller", ["ordinary", "ignoring"])
def test_clean(runtime: Runtime, bundle: MakeBundle, probe: Path, verb: str, caller: str) -> None:
    wrapper = IGNORING if caller == "ignoring" else []
    made = bundle(args=["/probe", "signals"]).install(probe, "/probe")
    if verb == "run":
        output = runtime.run(made, wrapper=wrapper).check().stdout
    else:
        made.args = ["sleep", "100"]
        container = runtime.up(made)
        output = runtime.exec(container, "/probe", "signals", wrapper=wrapper).check().stdout
    masks = _masks(output)
    assert masks["SigIgn"] == masks["SigBlk"] == masks["SigCgt"] == masks["SigPnd"] == 0, masks


def test_broken_pipe_kills(runtime: Runtime, bundle: MakeBundle) -> None:
    """`yes | head` ends: the writer dies from SIGPIPE instead of writing on."""
    script = "(while echo y; do :; done; echo survived >&2) | head -n 1"
    result = runtime.run(bundle().shell(script)).check()
    assert result.stdout == "y\n"
    assert "survived" not in result.stderr
