"""Security labels: AppArmor profiles and SELinux contexts of the process (config.md#linux-process).

The label itself is written by oci-init, right before the program is executed, through a procfs that
nobody else can reach or cover (CVE-2019-16884, CVE-2025-52881). Here is what happens before: the
host is asked whether it knows the label, and that procfs is opened while paths can be trusted.
"""

from __future__ import annotations

import errno

from ociruntime import hostos as os
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.procfs import PrivateProc
from ociruntime.process.run import PROC_FD
from ociruntime.process.step import ContainerStep, Step
from ociruntime.steps.touches import Touch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run

APPARMOR_ENABLED = "/sys/module/apparmor/parameters/enabled"
APPARMOR_PROFILES = "/sys/kernel/security/apparmor/profiles"
FILESYSTEMS = "/proc/filesystems"
SELINUX_CHECK = "/sys/fs/selinux/context"
XATTR_SELINUX = b"security.selinux"
# Where run.mounts has the procfs for oci-init.


class CheckAppArmor(Step):
    """process.apparmorProfile: the host has AppArmor, and the profile is loaded."""

    __slots__ = ("profile",)

    kind = "check-apparmor"

    def __init__(self, profile: str) -> None:
        super().__init__("/process/apparmorProfile", f"process.apparmorProfile {profile}")
        self.profile = profile

    def describe(self) -> str:
        return f"check that the AppArmor profile {self.profile} is loaded"

    def execute(self, run: Run) -> None:
        if (_read(run.kernel, APPARMOR_ENABLED) or b"")[:1] != b"Y":
            raise OciError(
                f"{self.label}: AppArmor is not enabled on this host; remove the property, or boot "
                "with AppArmor"
            )
        text = _read(run.kernel, APPARMOR_PROFILES)
        # Other namespaces and stacks of profiles are the kernel's to judge (aa_change_onexec(2)),
        # and everything is where the list is not for us to read.
        if text is None or self.profile == "unconfined":
            return
        if ":" in self.profile or "//&" in self.profile:
            return
        loaded = text.decode("utf-8", "replace").splitlines()
        if self.profile not in {line.rpartition(" (")[0] for line in loaded}:
            raise OciError(
                f"{self.label}: no such profile is loaded; load it with apparmor_parser(8), see "
                f"{APPARMOR_PROFILES}"
            )


class CheckSelinux(Step):
    """process.selinuxLabel or linux.mountLabel: the host has SELinux, and knows the context."""

    __slots__ = ("context",)

    kind = "check-selinux"

    def __init__(self, pointer: str, context: str) -> None:
        super().__init__(pointer, f"{pointer[1:].replace('/', '.')} {context}")
        self.context = context

    def describe(self) -> str:
        return f"check that SELinux knows the context {self.context}"

    def execute(self, run: Run) -> None:
        # The kernel registers the filesystem only where SELinux is enabled.
        if b"selinuxfs" not in (_read(run.kernel, FILESYSTEMS) or b"").split():
            raise OciError(
                f"{self.label}: SELinux is not enabled on this host; remove the property, or boot "
                "with SELinux"
            )
        try:
            fd = run.kernel.open(SELINUX_CHECK, c.O_RDWR)
        except OSError:
            return  # not mounted, or not for us: the kernel judges when the label is used
        try:
            run.kernel.write(fd, os.fsencode(self.context))
        finally:
            run.kernel.close(fd)

    def explain(self, number: int) -> str:
        return "the policy has no such context" if number == errno.EINVAL else ""


class OpenProc(ContainerStep):
    """Open the procfs through which oci-init labels itself, with nothing on it but processes."""

    __slots__ = ()

    kind = "open-proc"

    def __init__(self, pointer: str) -> None:
        super().__init__(pointer, pointer[1:].replace("/", "."))

    def describe(self) -> str:
        return "open a private procfs for the label"

    def execute(self, run: Run) -> None:
        run.mounts[PROC_FD] = PrivateProc(run.inner, only_pids=True).root


class LabelRoot(Touch):
    """The root of a new filesystem that takes no label as an option gets it (linux.mountLabel)."""

    __slots__ = ("selinux_label",)

    def __init__(self, selinux_label: str) -> None:
        self.selinux_label = selinux_label

    def operands(self) -> dict[str, object]:
        return {"selinux_label": self.selinux_label}

    def apply(self, run: Run, kernel: Kernel, mount: int) -> None:
        root = kernel.openat(mount, ".", c.O_RDONLY | c.O_DIRECTORY)
        value = bytearray(os.fsencode(self.selinux_label) + b"\0")
        kernel.invoke("fsetxattr", root, XATTR_SELINUX, value, len(value), 0)
        kernel.close(root)


def _read(kernel: Kernel, path: str) -> bytes | None:
    """The content of a file of the host's; None when there is none for us to read."""
    try:
        fd = kernel.open(path, c.O_RDONLY)
    except OSError:
        return None
    try:
        return kernel.read_whole(fd)
    finally:
        kernel.close(fd)
