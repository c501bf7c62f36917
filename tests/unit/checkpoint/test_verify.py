"""What a restored container may not have (checkpoint/verify.py); the whole is tests/security's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from ociruntime.checkpoint import verify
from ociruntime.checkpoint.externals import MountTable
from ociruntime.checkpoint.verify import VerifyMounts
from ociruntime.errors import OciError
from ociruntime.kernel.constants import MOUNT_ATTR_NODEV, MOUNT_ATTR_RDONLY

TABLE = """\
10 1 8:1 /rootfs / rw - ext4 disk rw
11 10 8:2 /srv/data /data ro,nodev - ext4 other rw
12 10 0:9 / /tmp rw - tmpfs tmpfs rw
"""
PLACES = {"/": (10, 0), "/data": (11, MOUNT_ATTR_RDONLY), "/tmp": (12, MOUNT_ATTR_NODEV)}


def prove(monkeypatch: pytest.MonkeyPatch, *lines: str, **more: tuple[int, int]) -> None:
    """Raises what restore would raise for these mounts besides those of TABLE."""
    places = {**PLACES, **{f"/{name}": value for name, value in more.items()}}

    def found_stat(_inroot: object, place: str) -> Any:
        return SimpleNamespace(mount_id=places[place][0])

    monkeypatch.setattr(verify, "found_stat", found_stat)
    inroot: Any = None
    table = MountTable(TABLE + "\n".join(lines))
    VerifyMounts._require_elsewhere(
        inroot, table, [(place, attributes) for place, (_, attributes) in places.items()]
    )


@pytest.mark.parametrize("shown", ["/srv/data", "/srv/data/deep", "/srv", "/"])
def test_what_is_readonly_shows_nowhere_else(monkeypatch: pytest.MonkeyPatch, shown: str) -> None:
    with pytest.raises(OciError, match=r"^restore: /tmp/x is a mount .* read-only at /data could"):
        prove(monkeypatch, f"13 12 8:2 {shown} /tmp/x rw - ext4 other rw")


@pytest.mark.parametrize(
    "line",
    [
        "13 12 8:2 /srv/data /tmp/x ro - ext4 other rw",  # not writable either
        "13 12 8:2 /srv/data2 /tmp/x rw - ext4 other rw",
        "13 12 8:3 /srv/data /tmp/x rw - ext4 another rw",
        "13 12 8:1 /rootfs/etc /tmp/x rw - ext4 disk rw",  # the root is not read-only
        "13 10 8:2 /srv/data /data rw - ext4 other rw",  # covered
    ],
)
def test_other_mounts_are_not_refused(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    prove(monkeypatch, line)


def test_what_the_configuration_has_writable_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        "13 10 8:2 /srv/data /work rw - ext4 other rw",
        "14 13 8:2 /srv/data/deep /work/deep rw - ext4 other rw",
    )
    prove(monkeypatch, *lines, work=(13, 0))
