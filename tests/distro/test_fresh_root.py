"""README's two commands, word by word, on fresh Debians that have only python3 and sudo; on 13,
then, more than a hundred kernel tests from a start image (`run`, `inside`).

What Debian's or Python's archive does not give is no fault of ours: the test is skipped then, and a
warning says why.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import warnings
from pathlib import Path

import pytest

pytestmark = [pytest.mark.kernel, pytest.mark.slow, pytest.mark.timeout(2400)]

CHECKOUT = Path(__file__).resolve().parents[2]
# Its own, so that what `make distro-test` has found stays.
PLACE = Path("build/distro-ci")
UNREACHABLE = os.EX_TEMPFAIL
# Seconds; a guard against an archive that never ends its answer.
LONGEST = 1800


@pytest.fixture(autouse=True)
def needed() -> None:
    for program in ("mmdebstrap", "apt-config"):
        if shutil.which(program) is None:
            pytest.skip(f"not installed: {program}")


def distro(suite: str, level: str, place: Path, **environment: str) -> tuple[int, str]:
    """The exit status of `run`, and what it printed."""
    process = subprocess.Popen(
        ["tests/distro/run", suite, level, str(place)],
        cwd=CHECKOUT,
        # pip is told "no" to compiling what it installs: most of it is never imported.
        env=os.environ | {"OCIRT_BESIDE": "1", "PIP_NO_COMPILE": "0"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return UNREACHABLE, f"{output}\nno end after {LONGEST} s"
    return process.returncode, output


def new_user(suite: str, level: str) -> dict[str, str]:
    """What was found on a fresh Debian `suite` (`inside` has the levels)."""
    status, output = distro(suite, level, PLACE)
    if status == UNREACHABLE:
        reason = f"NOT TRIED on a fresh Debian {suite}, an archive did not give: {output[-600:]}"
        warnings.warn(reason, stacklevel=1)
        pytest.skip(reason)
    assert status == 0, output
    found = dict(re.findall("^RESULT ([a-z]+) (.*)$", output, re.MULTILINE))
    assert found["distribution"] == f"Debian {suite}"
    assert (found["demo"], found["image"]) == ("yes", "yes")
    return found


def test_a_new_user_of_debian_12_gets_a_container() -> None:
    assert new_user("bookworm", "readme")["python"].startswith("3.11.")


def test_a_new_user_of_debian_13_gets_a_container() -> None:
    found = new_user("trixie", "ci")
    assert found["python"].startswith("3.13.")
    passed = re.fullmatch(r"(\d+) passed", found["tests"])
    assert passed is not None, found
    assert int(passed[1]) > 100


def test_an_archive_that_is_not_reached(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and nobody listens
        proxy = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        lines = ['Acquire::Retries "0";']
        lines += [f'Acquire::{scheme}::Proxy "{proxy}";' for scheme in ("http", "https")]
        configuration = tmp_path / "apt.conf"
        configuration.write_text("".join(f"{line}\n" for line in lines))
        status, output = distro("trixie", "ci", tmp_path / "place", APT_CONFIG=str(configuration))
    assert status == UNREACHABLE, output
    assert "127.0.0.1" in output, "it failed for another reason"
