"""The loopback device of a network namespace that was made for the container."""

from __future__ import annotations

import errno
from _struct import pack

from ociruntime.kernel import constants as c
from ociruntime.process.step import ContainerStep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run

# struct ifreq: a name, then a union, of which the flags are the first member (netdevice(7)).
REQUEST = "=16sh22x"


class RaiseLoopback(ContainerStep):
    """Set ``lo`` up, as every host has it: programs take 127.0.0.1 and ::1 for granted.

    The specification is silent; runc and crun do it, and engines do not do it for themselves. The
    kernel gives the device both addresses when it comes up (IPv6 unless that is switched off). A
    namespace that is joined belongs to somebody else and is left alone.
    """

    __slots__ = ()

    kind = "raise-loopback"
    stage = "namespaces"

    def __init__(self, pointer: str) -> None:
        super().__init__(pointer, "the loopback device of the new network namespace")

    def describe(self) -> str:
        return "set the loopback device up (127.0.0.1, ::1)"

    def execute(self, run: Run) -> None:
        kernel = run.inner
        # ioctl(2) and not netlink: the same in three system calls, and without an answer to parse.
        fd = kernel.invoke("socket", c.AF_INET, c.SOCK_DGRAM | c.SOCK_CLOEXEC, 0)
        kernel.call("ioctl", fd, c.SIOCSIFFLAGS, bytearray(pack(REQUEST, b"lo", c.IFF_UP)))
        kernel.close(fd)

    def explain(self, number: int) -> str:
        return {
            errno.EAFNOSUPPORT: "this kernel has no IPv4; leave the network namespace out",
            errno.EPERM: "the caller has no CAP_NET_ADMIN over the network namespace",
        }.get(number, "")
