"""oci-setup's places in a root that others change: the operations, without a plan around them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ociruntime.errors import StepError
from ociruntime.kernel import constants as c
from ociruntime.kernel import program as p
from ociruntime.kernel.inroot import InRoot
from ociruntime.kernel.inside import Inside
from ociruntime.kernel.mountfd import null_device
from ociruntime.kernel.program import strings
from ociruntime.steps.masks import MISSING
from tests.support.setup import oci_setup

NAMED = b"dev/made"


@pytest.fixture
def inner() -> Iterator[Inside]:
    """In a mount namespace of its own."""
    with oci_setup() as kernel:
        kernel.unshare(c.CLONE_NEWNS)
        top = kernel.open("/", c.O_PATH | c.O_DIRECTORY)
        kernel.mount_setattr(top, propagation=c.MS_PRIVATE, recursive=True)
        kernel.close(top)
        yield kernel


@pytest.fixture
def root(inner: Inside, tmp_path: Path) -> InRoot:
    return InRoot(inner, inner.open(str(tmp_path), c.O_PATH | c.O_DIRECTORY))


def test_a_path_of_many_slashes(root: InRoot, inner: Inside, tmp_path: Path) -> None:
    """What was made is told by a path that has room, however the config writes it."""
    slashes = "/" * 20_000
    root.itself(f"{slashes}a{slashes}b", directory=True)
    root.symlink(f"{slashes}a{slashes}c", "b")
    inner.carry_out()
    assert [stub.path for stub in inner._made] == ["a", "a/b", "a/c"]
    assert (tmp_path / "a/c").is_dir()


def volume_behind_dev(inner: Inside, tmp_path: Path) -> None:
    """A symlink /dev to a directory with another mount, as somebody leaves it behind DO_DEV."""
    (tmp_path / "volume").mkdir()
    (tmp_path / "dev").symlink_to("volume")
    mount = inner.new_filesystem("tmpfs", "tmpfs", [])
    inner.move_mount(mount, inner.open(str(tmp_path / "volume"), c.O_PATH | c.O_DIRECTORY))


@pytest.mark.parametrize("kind", [c.S_IFREG, c.S_IFIFO])
def test_no_device_in_a_volume(root: InRoot, inner: Inside, tmp_path: Path, kind: int) -> None:
    volume_behind_dev(inner, tmp_path)
    inner.queue(p.DEVICE, root.root, NAMED, NAMED, kind | 0o600, 0, 0, 0)
    with pytest.raises(StepError) as caught:
        inner.carry_out()
    assert caught.value.number == errno.EXDEV
    assert not inner._made


@pytest.mark.parametrize("how", [p.NEAR, p.NEAR | p.REPLACES])
def test_no_symlink_in_a_volume(root: InRoot, inner: Inside, tmp_path: Path, how: int) -> None:
    """Nor is what it has in the place of one taken away."""
    volume_behind_dev(inner, tmp_path)
    inner.mkdirat(root.open("volume", c.O_PATH), "made", 0o700)
    root.symlink("/dev/made", "x", how)
    with pytest.raises(StepError) as caught:
        inner.carry_out()
    assert caught.value.number == errno.EXDEV
    assert inner.stat(root.open("volume/made", c.O_PATH)).kind == c.S_IFDIR


@pytest.mark.parametrize("code", [p.MASK_PATH, p.READONLY])
def test_what_goes_away_while_it_is_covered(inner: Inside, tmp_path: Path, code: int) -> None:
    """That is a failure: only what is not there at all is left out."""
    (tmp_path / "gone").mkdir()
    root = inner.open(str(tmp_path / "gone"), c.O_PATH | c.O_DIRECTORY)
    inner.carry_out()
    os.rmdir(tmp_path / "gone")
    more = (*strings([b"ro"]), 0, null_device(inner)) if code == p.MASK_PATH else ()
    inner.queue(code, root, b"missing", *more, tolerated=MISSING)
    inner.carry_out()
    inner.queue(code, root, b"", *more, tolerated=MISSING)
    with pytest.raises(StepError) as caught:
        inner.carry_out()
    assert caught.value.number == errno.ESTALE
