"""The programs that a container's processes start as: oci-init, and oci-exec for later ones."""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Installed beside the package's modules; in a checkout the build leaves it in build/.
PLACES = (PACKAGE, os.path.dirname(PACKAGE) + "/build")
LARGEST = 1 << 20


def open_program(kernel: Kernel, name: str) -> int:
    """``oci-init`` or ``oci-exec`` in a memfd that nobody can ever write to again."""
    for place in PLACES:
        try:
            source = kernel.open(f"{place}/{name}", c.O_RDONLY | c.O_NOFOLLOW)
            break
        except FileNotFoundError:
            continue
    else:
        raise OSError(errno.ENOENT, f"{PLACES[0]}/{name} is missing; install ociruntime again")
    try:
        return sealed_memfd(kernel, name, source)
    finally:
        kernel.close(source)


def open_memfd(kernel: Kernel, name: str) -> int:
    """An empty memfd that can be executed and sealed."""
    try:
        return kernel.memfd(name, c.MFD_ALLOW_SEALING | c.MFD_EXEC)
    except OSError as error:
        # MFD_EXEC came with Linux 6.3; before, every memfd is executable.
        if error.errno != errno.EINVAL:
            raise
        return kernel.memfd(name, c.MFD_ALLOW_SEALING)


def sealed_memfd(kernel: Kernel, name: str, content: bytes | int) -> int:
    """``content``, or the rest of a file that it is a descriptor of, in a sealed memfd,
    close-on-exec.
    """
    fd = open_memfd(kernel, name)
    try:
        if isinstance(content, bytes):
            kernel.write_all(fd, content)
        else:  # without a buffer of ours between
            while kernel.invoke("sendfile", fd, content, None, LARGEST):
                pass
        # Executable and not readable: execve(2) then makes the process non-dumpable for everybody
        # who has no power over the memfd's owner, root of a container's user namespace included.
        # Without it oci-init could be traced between its execution and its own PR_SET_DUMPABLE.
        kernel.fchmod(fd, 0o111)
        kernel.seal(fd)
    except OSError:
        kernel.close(fd)
        raise
    return fd
