"""The facts about the host and the caller that a plan depends on. Reading them makes nothing and
changes nothing.
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.cgroups.detect import Layout, detect
from ociruntime.kernel import constants as c

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.spec.documents import PlanHost

FULL_MAP = ["0", "0", "4294967295"]


class Powers:
    """What this caller may grant on this kernel.

    euid            his effective user id
    capabilities    mask: permitted and in the bounding set
    last_cap        the highest capability this kernel knows
    """

    __slots__ = ("capabilities", "euid", "last_cap")

    def __init__(self, euid: int, capabilities: int, last_cap: int) -> None:
        self.euid = euid
        self.capabilities = capabilities
        self.last_cap = last_cap


class Host(Powers):
    """Facts, beside the powers.

    egid            his effective group id
    in_userns       the caller is not in the initial user namespace
    cgroups         where the cgroup hierarchies are
    may_setgroups   the caller's user namespace has not given up setgroups(2)
    owns_mounts     the caller is root over the mount namespace that he is in: of the host, or
                    of a user namespace that has one of its own, as rootless engines have
    """

    __slots__ = ("cgroups", "egid", "in_userns", "may_setgroups", "owns_mounts")

    def __init__(
        self,
        euid: int,
        egid: int,
        capabilities: int,
        last_cap: int,
        cgroups: Layout,
        *,
        in_userns: bool,
        may_setgroups: bool = True,
        owns_mounts: bool = False,
    ) -> None:
        super().__init__(euid, capabilities, last_cap)
        self.egid = egid
        self.cgroups = cgroups
        self.in_userns = in_userns
        self.may_setgroups = may_setgroups
        self.owns_mounts = owns_mounts or self.privileged

    @property
    def privileged(self) -> bool:
        """Root of the host: may mount, write any id map and change every cgroup."""
        return self.euid == 0 and not self.in_userns

    def as_dict(self) -> PlanHost:
        """For ``plan --format json``."""
        return {
            "euid": self.euid,
            "egid": self.egid,
            "inUserNamespace": self.in_userns,
            "capabilities": f"{self.capabilities:#x}",
            "lastCapability": self.last_cap,
            "cgroups": self.cgroups.as_dict(),
        }


def read_powers() -> Powers:
    """Two files of /proc."""
    sets = {}
    for line in _read("/proc/self/status").splitlines():
        if line.startswith("Cap"):
            name, _, value = line.partition(":")
            sets[name] = int(value, 16)
    last_cap = int(_read("/proc/sys/kernel/cap_last_cap"))
    return Powers(os.geteuid(), sets["CapPrm"] & sets["CapBnd"], last_cap)


def read_host(kernel: Kernel) -> Host:
    """The facts of this machine, from four files of /proc, five in a user namespace."""
    powers = read_powers()
    in_userns = _read("/proc/self/uid_map").split() != FULL_MAP
    return Host(
        powers.euid,
        os.getegid(),
        powers.capabilities,
        powers.last_cap,
        detect(kernel),
        in_userns=in_userns,
        may_setgroups=not in_userns or _read("/proc/self/setgroups").strip() != "deny",
        owns_mounts=in_userns and powers.euid == 0 and _owns_mounts(kernel),
    )


def _owns_mounts(kernel: Kernel) -> bool:
    """Whether our mount namespace belongs to our user namespace (ioctl_ns(2))."""
    mounts = kernel.open("/proc/self/ns/mnt", c.O_RDONLY)
    try:
        owner = kernel.ioctl(mounts, c.NS_GET_USERNS, 0)
    except PermissionError:  # it belongs to one further out
        return False
    finally:
        kernel.close(mounts)
    own = kernel.open("/proc/self/ns/user", c.O_RDONLY)
    try:
        return bool(kernel.stat(own).ino == kernel.stat(owner).ino)
    finally:
        kernel.close(own)
        kernel.close(owner)


def as_root(host: Host) -> Host:
    """The facts of the same machine for root of the host with all capabilities."""
    everything = (1 << (host.last_cap + 1)) - 1
    return Host(0, 0, everything, host.last_cap, host.cgroups, in_userns=False)


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.fsdecode(os.read(fd, 65536))
    finally:
        os.close(fd)
