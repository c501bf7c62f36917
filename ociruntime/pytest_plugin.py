r"""A pytest plugin: containers as fixtures.

    def test_shell(container):
        made = container("/bin/sh", "-c", "echo hello")
        assert made.communicate(timeout=10) == (b"hello\n", b"")
        assert made.wait(timeout=10).ok

It is loaded wherever ociruntime is installed, and imports nothing of it until a test names a
fixture:

container      makes a container (function scope); all it made are removed when the test ends
oci_runtime    the ``ociruntime.api.Runtime`` they live in, with a state directory of the session's
oci_rootfs     the root filesystem they get: the ini option ``oci_rootfs``, else busybox
oci_launcher   the ociruntime command, None for the one beside the library; to be overridden

When a test fails, its report has the output, the status and the plan of each of its containers.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pluggy

    from ociruntime.api import Bundle, Container, Runtime

OPTION = "oci_rootfs"
# Bytes of an output that a report has, the last ones.
SHOWN = 10_000
DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "sys", "tmp")


class Made:
    """What a test has had made: its bundle, and the container unless that failed."""

    def __init__(self, bundle: Bundle, name: str) -> None:
        self.bundle = bundle
        self.name = name
        self.container: Container | None = None

    def sections(self) -> Iterator[tuple[str, str]]:
        """(title, text) for a report."""
        from ociruntime.api import OciError

        if self.container is not None and self.container.process is not None:
            output = self.container.process.so_far()
            for stream, said in zip(("stdout", "stderr"), output, strict=True):
                if said:
                    text = said[-SHOWN:].decode("utf-8", "backslashreplace")
                    yield f"{stream} of container {self.name}", text
            yield f"status of container {self.name}", self._status()
        try:
            plan = "\n".join(f"{step.side:9}  {step}" for step in self.bundle.plan(self.name))
        except OciError as error:
            plan = str(error)
        yield f"plan of container {self.name}", plan

    def _status(self) -> str:
        from ociruntime.api import OciError

        assert self.container is not None
        assert self.container.process is not None
        end = self.container.process.exited
        if end is not None:
            killed = f", killed by signal {end.signal}" if end.signal else ""
            return f"ended with exit status {end.code}{killed}"
        try:
            return self.container.state().status
        except OciError as error:
            return str(error)


MADE = pytest.StashKey[list[Made]]()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pluggy.Result[pytest.TestReport], None]:
    """Add what is known of its containers to the report of a test that fails."""
    outcome = yield
    if call.when == "call" and call.excinfo is not None and MADE in item.stash:
        report = outcome.get_result()
        if report.failed:
            for made in item.stash[MADE]:
                report.sections += made.sections()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option."""
    help_text = "root filesystem of the containers that the fixture `container` makes"
    parser.addini(OPTION, help_text, type="string", default="")


@pytest.fixture(scope="session")
def oci_launcher() -> Path | None:
    """The ociruntime command; None is the one that was installed with the library."""
    return None


@pytest.fixture(scope="session")
def oci_rootfs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root filesystem of the containers."""
    given: str = request.config.getini(OPTION)
    if given:
        return Path(request.config.rootpath, given).resolve()
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.fail(
            f"no busybox for a root filesystem: install busybox-static, or set {OPTION} in the "
            "pytest configuration to the directory of another one",
            pytrace=False,
        )
    rootfs = tmp_path_factory.mktemp("oci-rootfs")
    rootfs.chmod(0o755)  # users of the container other than root enter it, too
    for name in DIRECTORIES:
        (rootfs / name).mkdir(mode=0o755)
    shutil.copy2(busybox, rootfs / "bin/busybox")
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True)
    for name in names.stdout.split():
        if name != "busybox":
            (rootfs / "bin" / name).symlink_to("busybox")
    return rootfs


@pytest.fixture(scope="session")
def oci_runtime(
    tmp_path_factory: pytest.TempPathFactory, oci_launcher: Path | None
) -> Iterator[Runtime]:
    """The runtime of this session (of this worker, with pytest-xdist)."""
    from ociruntime.api import Runtime

    with Runtime(tmp_path_factory.mktemp("oci-state"), launcher=oci_launcher) as runtime:
        yield runtime


@pytest.fixture
def container(
    request: pytest.FixtureRequest, oci_runtime: Runtime, oci_rootfs: Path, tmp_path: Path
) -> Iterator[Callable[..., Container]]:
    """Make containers: ``container(*args, rootfs=None, start=True, stdin=None, stdout=PIPE,
    stderr=PIPE, **changes)``.

    ``args`` is the command; ``changes`` are those of ``Bundle.make``: ``container("id", user=1000,
    memory="32M", process={"cwd": "/tmp"})``. The container is
    started unless ``start`` is False, and removed when the test ends.
    """
    from ociruntime.api import PIPE, Bundle, NotFound

    made: list[Made] = []
    request.node.stash[MADE] = made
    numbers = itertools.count(1)

    def make(
        *args: str,
        rootfs: os.PathLike[str] | str | None = None,
        start: bool = True,
        stdin: Any = None,
        stdout: Any = PIPE,
        stderr: Any = PIPE,
        **changes: Any,
    ) -> Container:
        name = f"pytest-{os.getpid()}-{tmp_path.name}-{next(numbers)}"
        bundle = Bundle.make(tmp_path / name, rootfs or oci_rootfs, args, **changes)
        entry = Made(bundle, name)
        made.append(entry)
        create = oci_runtime.run if start else oci_runtime.create
        entry.container = create(bundle, name, stdin=stdin, stdout=stdout, stderr=stderr)
        return entry.container

    yield make
    problems = []
    for entry in reversed(made):
        if entry.container is None:
            continue  # it was never made
        try:
            entry.container.delete(force=True)
        except NotFound:
            continue  # the test has deleted it
        except Exception as error:  # noqa: BLE001 - the others are removed all the same
            problems.append(f"{entry.name}: {error}")
    if problems:
        pytest.fail("cannot be removed: " + "; ".join(problems), pytrace=False)
