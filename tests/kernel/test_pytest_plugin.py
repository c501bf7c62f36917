"""The pytest plugin: used as its users do, and in a session of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ociruntime.api import Container, Runtime
from tests.support.patience import PATIENCE

UID = 12345
Make = Callable[..., Container]


def test_output_and_status(container: Make) -> None:
    made = container("sh", "-c", "echo out; echo err >&2; exit 3")
    assert made.communicate(timeout=PATIENCE) == (b"out\n", b"err\n")
    assert made.wait(PATIENCE).code == 3


def test_changes_reach_the_configuration(container: Make) -> None:
    made = container(
        "sh",
        "-c",
        "hostname; id -u; echo $NAME",
        hostname="changed",
        process={"user": {"uid": 1234}, "env": ["PATH=/bin", "NAME=value"]},
    )
    assert made.communicate(timeout=PATIENCE)[0] == b"changed\n1234\nvalue\n"


def test_two_at_once_and_exec(container: Make, oci_runtime: Runtime) -> None:
    first, second = container("sleep", "100"), container("sleep", "100", start=False)
    assert {each.id for each in oci_runtime.containers()} == {first.id, second.id}
    assert (first.state().status, second.state().status) == ("running", "created")
    with first.exec(["true"]) as process:
        assert process.wait(PATIENCE).ok


SESSION = """
def test_one(container):
    made = container("sleep", "100")
    assert made.state().status == "running"

def test_two(oci_runtime):
    assert oci_runtime.containers() == []

def test_deleted_by_the_test(container):
    container("true").delete(force=True)
"""


def test_session_of_its_own(tmp_path: Path, runtime_binary: Path, oci_rootfs: Path) -> None:
    (tmp_path / "test_it.py").write_text(SESSION)
    (tmp_path / "conftest.py").write_text(
        "import pytest\n@pytest.fixture(scope='session')\ndef oci_launcher():\n"
        f"    return {str(runtime_binary)!r}\n"
    )
    (tmp_path / "pytest.ini").write_text(f"[pytest]\noci_rootfs = {oci_rootfs}\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, f"--basetemp={tmp_path}/temporary", "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


FAILING = """
import os
import select
import pytest
from ociruntime.api import ProgramNotFound

def test_unread(container):
    made = container("sh", "-c", "echo said; echo bad >&2; exit 3", hostname="box")
    made.wait(60)
    assert made.stdout.readline() == b"other"

def test_heard(container):
    made = container("sh", "-c", "echo heard; exec sleep 100")
    assert select.select([made.stdout], [], [], 60)[0]
    with pytest.raises(TimeoutError):
        made.communicate(timeout=0.01)
    assert False

def test_no_program(container):
    container("nothing")

def test_teardown_is_not_the_tests(container):
    container("sh", "-c", "echo quiet").wait(60)
"""
# The others take longer to load than ours, and have nothing to do here.
PLUGINS = ("-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest")


def session(directory: Path, text: str, wrapper: tuple[str, ...] = (), **env: str) -> str:
    """What pytest says of the test file ``text``, in a process of its own."""
    (directory / "test_it.py").write_text(text)
    (directory / "pytest.ini").write_text("[pytest]\n")
    done = subprocess.run(
        [*wrapper, sys.executable, "-m", "pytest", "-q", *PLUGINS, f"--basetemp={directory}/t"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
        env={**os.environ, **env},
    )
    return done.stdout + done.stderr


def launched_by(directory: Path, runtime_binary: Path) -> None:
    (directory / "conftest.py").write_text(
        "import pytest\n@pytest.fixture(scope='session')\ndef oci_launcher():\n"
        f"    return {str(runtime_binary)!r}\n"
    )


def section(report: str, title: str) -> str:
    """The text below a title of a report, up to the next one."""
    found = re.search(rf"^-+ {title} -+\n(.*?)(?=^[-_=]+ )", report, re.MULTILINE | re.DOTALL)
    assert found, f"{title}: not in\n{report}"
    return found[1]


def test_failures_show_output_status_and_plan(tmp_path: Path, runtime_binary: Path) -> None:
    launched_by(tmp_path, runtime_binary)
    report = session(tmp_path, FAILING)
    assert "3 failed, 1 passed" in report
    unread, heard, missing = (
        rf"container pytest-\d+-test_{name}0-1" for name in ("unread", "heard", "no_program")
    )
    assert section(report, f"stderr of {unread}") == "bad\n"
    assert section(report, f"status of {unread}") == "ended with exit status 3\n"
    plan = section(report, f"plan of {unread}")
    assert "container  set the hostname to box" in plan
    assert len(plan.splitlines()) > 30
    assert section(report, f"stdout of {heard}") == "heard\n"
    assert section(report, f"status of {heard}") == "running\n"
    assert "find the program nothing" in section(report, f"plan of {missing}")
    assert "test_teardown_is_not_the_tests0" not in report


USER = """
import os

def test_one(container):
    assert os.geteuid() == 12345
    made = container("sh", "-c", "id -u; hostname", hostname="mine")
    assert made.communicate(timeout=60)[0] == b"0\\nmine\\n"
    assert made.wait(60).ok
"""


def test_an_ordinary_user(tmp_path: Path, runtime_binary: Path) -> None:
    """Without rights, without a line in /etc/passwd, with a temporary directory that is his."""
    launched_by(tmp_path, runtime_binary)
    home = Path(tempfile.mkdtemp(prefix="ocirt-user-"))  # pytest's own is closed to others
    try:
        for file in tmp_path.iterdir():
            shutil.copy(file, home)
        report = ""
        (home / "t").mkdir()
        for path in (home, *home.iterdir()):
            os.chown(path, UID, UID)
        wrapper = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
        report = session(home, USER, wrapper, XDG_RUNTIME_DIR=str(home), HOME=str(home))
        assert "1 passed" in report, report
    finally:
        shutil.rmtree(home)


UNRELATED = """
import sys

def test_nothing():
    ours = sorted(name for name in sys.modules if name.partition(".")[0] == "ociruntime")
    assert ours == ["ociruntime", "ociruntime.pytest_plugin"]
"""


def test_an_unrelated_run_loads_nothing_of_it(tmp_path: Path) -> None:
    report = session(tmp_path, UNRELATED)
    assert "1 passed" in report, report


def test_the_plugin_imports_what_pytest_has_anyway() -> None:
    program = (
        "import sys, pytest, _pytest.config, subprocess; before = set(sys.modules)\n"
        "import ociruntime.pytest_plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["ociruntime", "ociruntime.pytest_plugin"]
