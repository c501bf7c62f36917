"""What is made in a rootfs for a mount, and taken away again where that comes to nothing."""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.kernel import program as p

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.program import Record


class Stub:
    """A file or directory that we made in the rootfs, so that a failing create can take it away
    again.
    """

    __slots__ = ("device", "directory", "ino", "path")

    def __init__(self, path: str, ino: int, device: tuple[int, int], *, directory: bool) -> None:
        self.path = path
        self.ino = ino
        self.device = device
        self.directory = directory


def stub_of(record: Record) -> Stub:
    """What a RECORD_MADE tells of."""
    device = p.MADE.unpack_from(record.text)
    path = os.fsdecode(record.text[p.MADE.size :])
    return Stub(path, record.value & p.MASK, device, directory=bool(record.number))
