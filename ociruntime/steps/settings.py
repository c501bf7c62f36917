"""Kernel settings of the container's namespaces: names and sysctls."""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.kernel.procfs import PrivateProc
from ociruntime.process.step import ContainerStep
from ociruntime.spec.sysctl import SINCE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.process.run import Run


class SetHostname(ContainerStep):
    """hostname (config.md#hostname)."""

    __slots__ = ("name",)

    kind = "set-hostname"
    stage = "settings"

    def __init__(self, name: str) -> None:
        super().__init__("/hostname", f"hostname {name}")
        self.name = name

    def describe(self) -> str:
        return f"set the hostname to {self.name}"

    def execute(self, run: Run) -> None:
        run.inner.sethostname(self.name)

    def explain(self, number: int) -> str:
        return "a name has at most 64 bytes" if number == errno.EINVAL else ""


class SetDomainname(ContainerStep):
    """domainname (config.md#domainname)."""

    __slots__ = ("name",)

    kind = "set-domainname"
    stage = "settings"

    def __init__(self, name: str) -> None:
        super().__init__("/domainname", f"domainname {name}")
        self.name = name

    def describe(self) -> str:
        return f"set the NIS domain name to {self.name}"

    def execute(self, run: Run) -> None:
        run.inner.setdomainname(self.name)

    def explain(self, number: int) -> str:
        return "a name has at most 64 bytes" if number == errno.EINVAL else ""


class SetSysctls(ContainerStep):
    """linux.sysctl, each written once through a procfs that nobody else can reach (CVE-2025-52881,
    CVE-2022-0811).

    ``values`` are triples (JSON pointer, path below /proc/sys, value).
    """

    __slots__ = ("values",)

    kind = "set-sysctls"
    stage = "settings"

    def __init__(self, values: list[tuple[str, str, str]]) -> None:
        super().__init__("/linux/sysctl", "linux.sysctl")
        self.values = values

    def describe(self) -> str:
        return "set " + ", ".join(f"{path}={value}" for _, path, value in self.values)

    def execute(self, run: Run) -> None:
        proc = PrivateProc(run.inner, only_pids=False)
        try:
            for _, path, value in self.values:
                self.label = f"linux.sysctl {path.replace('/', '.')}={value}"
                if path in SINCE and running_kernel() < SINCE[path]:
                    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
                proc.write("sys/" + path, value)
        finally:
            proc.close()

    def explain(self, number: int) -> str:
        return {
            errno.ENOENT: "this kernel has no such setting in the container's namespaces",
            errno.EINVAL: "the kernel refuses the value",
            errno.EOPNOTSUPP: "this kernel has one for the whole host; remove it",
            errno.EACCES: "it is not writable in the container's namespaces",
            errno.EPERM: "it is not writable in the container's namespaces",
        }.get(number, "")


def running_kernel() -> tuple[int, int]:
    """Version and patch level of Linux (uname(2))."""
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor.partition("-")[0])
