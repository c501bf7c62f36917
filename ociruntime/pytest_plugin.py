r"""A pytest plugin: containers as fixtures.

    def test_shell(container):
        made = container("/bin/sh", "-c", "echo hello")
        assert made.communicate(timeout=10) == (b"hello\n", b"")
        assert made.wait(timeout=10).ok

It is loaded wherever ociruntime is installed, and costs nothing until a test names a fixture:

container      makes a container (function scope); all it made are removed when the test ends
oci_runtime    the ``ociruntime.api.Runtime`` they live in, with a state directory of the session's
oci_rootfs     the root filesystem they get: the ini option ``oci_rootfs``, else busybox
oci_launcher   the ociruntime command, None for the one beside the library; to be overridden
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ociruntime.api import Container, Runtime

OPTION = "oci_rootfs"
DIRECTORIES = ("bin", "dev", "etc", "proc", "root", "sys", "tmp")


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
    oci_runtime: Runtime, oci_rootfs: Path, tmp_path: Path
) -> Iterator[Callable[..., Container]]:
    """Make containers: ``container(*args, rootfs=None, start=True, stdin=None, stdout=PIPE,
    stderr=PIPE, **changes)``.

    ``args`` is the command; ``changes`` are merged into the configuration of ``ociruntime spec``
    (``Bundle.make``): ``container("id", process={"user": {"uid": 1000}})``. The container is
    started unless ``start`` is False, and removed when the test ends.
    """
    from ociruntime.api import PIPE, Bundle, NotFound

    made: list[Container] = []
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
        create = oci_runtime.run if start else oci_runtime.create
        made.append(create(bundle, name, stdin=stdin, stdout=stdout, stderr=stderr))
        return made[-1]

    yield make
    problems = []
    for each in reversed(made):
        try:
            each.delete(force=True)
        except NotFound:
            continue  # the test has deleted it
        except Exception as error:  # noqa: BLE001 - the others are removed all the same
            problems.append(f"{each.id}: {error}")
    if problems:
        pytest.fail("cannot be removed: " + "; ".join(problems), pytrace=False)
