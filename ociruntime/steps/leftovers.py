"""What a failing create has made of mount points, and takes away again when its mounts are gone."""

from __future__ import annotations

from ociruntime.kernel import constants as c
from ociruntime.kernel.inroot import components, remove_stubs
from ociruntime.kernel.stubs import Stub
from ociruntime.steps.mounts import BindMount
from ociruntime.steps.sourcepath import find_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run


def remove_made(run: Run, rootfs: str) -> None:
    """Remove ``run.stubs`` from the ``rootfs`` and from the directories that were bound in it,
    which they may lie in; host side.
    """
    kernel = run.kernel
    root = kernel.open(rootfs, c.O_PATH | c.O_DIRECTORY)
    bound = [
        (components(step.destination), step.source)
        for step in run.steps
        if isinstance(step, BindMount)
    ]
    try:
        for stub in reversed(run.stubs):
            remove_stubs(kernel, root, [stub])
            parts = components(stub.path)
            for destination, source in bound:
                if parts[: len(destination)] == destination:
                    below = "/".join(parts[len(destination) :])
                    _remove_below(run, root, source, stub, below)
    finally:
        kernel.close(root)


def _remove_below(run: Run, root: int, source: str, stub: Stub, path: str) -> None:
    """Remove ``stub`` where it is ``path`` below ``source``."""
    if not path:
        return
    kernel = run.kernel
    try:
        flags = c.O_PATH | c.O_DIRECTORY
        volume = find_source(kernel, source, flags, root, plain_root=run.plain_root)
    except OSError:
        return  # a file, or gone meanwhile
    remove_stubs(kernel, volume, [Stub(path, stub.ino, stub.device, directory=stub.directory)])
    kernel.close(volume)
