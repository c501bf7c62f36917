"""The kernel: its version, namespaces, filters, security modules, mapped mounts."""

from __future__ import annotations

import os

from ociruntime.doctor import ABSENT, FAILED, OK, WARNING, Finding, Machine
from ociruntime.errors import OciError
from ociruntime.kernel import constants as c
from ociruntime.kernel.kernel import Kernel
from ociruntime.spec.tables import MOUNT_ATTR_IDMAP, NAMESPACE_FILES
from ociruntime.steps.idmap import FILESYSTEMS, user_namespace

OLDEST = (5, 15)
NEWER_KERNEL = "sudo apt-get install -y linux-image-amd64"
USER_NAMESPACES = "/proc/sys/user/max_user_namespaces"
# Debian's and Ubuntu's own switches, and the value that lets ordinary users make namespaces.
SWITCHES = {
    "kernel.unprivileged_userns_clone": "1",
    "kernel.apparmor_restrict_unprivileged_userns": "0",
}
# Where images and volumes are.
STORES = ("/", "/var/lib", "/home", "/tmp", "/run")  # noqa: S108 - looked at only


def version(machine: Machine) -> list[Finding]:
    """Which kernel this is."""
    release = machine.read("/proc/sys/kernel/osrelease")
    numbers = release.replace("-", ".").split(".")[:2]
    known = tuple(int(number) for number in numbers if number.isdecimal())
    if len(known) < 2 or known >= OLDEST:
        return [Finding("kernel", OK, f"Linux {release}")]
    oldest = ".".join(map(str, OLDEST))
    message = f"Linux {release} is older than {oldest}, which has the system calls that are needed"
    return [Finding("kernel", FAILED, message, NEWER_KERNEL)]


def namespaces(machine: Machine) -> list[Finding]:
    """Which namespaces it has, and whether this caller may make one of users."""
    missing = [
        name
        for name, file in NAMESPACE_FILES.items()
        if not machine.exists(f"/proc/self/ns/{file}")
    ]
    found = [Finding("namespaces", OK, f"all {len(NAMESPACE_FILES)} kinds")]
    if missing:
        message = f"this kernel was built without: {', '.join(missing)}"
        found = [Finding("namespaces", FAILED, message, NEWER_KERNEL)]
    return found + _user_namespaces(machine)


def _user_namespaces(machine: Machine) -> list[Finding]:
    bad = FAILED if machine.rootless else WARNING
    if machine.read(USER_NAMESPACES) == "0":
        message = "user namespaces are switched off (user.max_user_namespaces is 0)"
        return [
            Finding(
                "user namespaces", bad, message, "sudo sysctl -w user.max_user_namespaces=15000"
            )
        ]
    if machine.rootless:
        for name, good in SWITCHES.items():
            value = machine.read(f"/proc/sys/{name.replace('.', '/')}")
            if value and value != good:
                message = f"ordinary users may not make user namespaces ({name} is {value})"
                return [
                    Finding("user namespaces", bad, message, f"sudo sysctl -w {name}={good}")
                ]
    return [Finding("user namespaces", OK, "may be made")]


def seccomp(machine: Machine) -> list[Finding]:
    """Whether the kernel filters system calls, and libseccomp is there to compile filters."""
    actions = machine.read("/proc/sys/kernel/seccomp/actions_avail")
    if not actions:
        message = "this kernel filters no system calls; every engine's containers ask for that"
        return [Finding("seccomp", FAILED, message, NEWER_KERNEL)]
    try:
        from ociruntime.kernel.libseccomp import Library

        version_ = Library().version()
    except (OciError, OSError) as error:
        message = f"{error}; filters that are not in the cache cannot be compiled"
        return [Finding("seccomp", FAILED, message, "sudo apt-get install -y libseccomp2")]
    return [Finding("seccomp", OK, f"libseccomp {version_}; actions {actions}")]


def security_modules(machine: Machine) -> list[Finding]:
    """Which security modules are at work."""
    loaded = machine.read("/sys/kernel/security/lsm")
    apparmor = machine.read("/sys/module/apparmor/parameters/enabled") == "Y"
    selinux = machine.exists("/sys/fs/selinux/enforce")
    names = [name for name, there in (("AppArmor", apparmor), ("SELinux", selinux)) if there]
    if names:
        return [Finding("security modules", OK, f"{' and '.join(names)} can confine containers")]
    message = "neither AppArmor nor SELinux is at work; configurations that name a profile fail"
    if loaded:
        message += f" (there are {loaded})"
    return [Finding("security modules", ABSENT, message)]


def mapped_mounts(machine: Machine) -> list[Finding]:
    """Which file systems owners can be mapped on (uidMappings of mounts)."""
    if machine.rootless or machine.root:
        message = "needs root: mounts of ordinary users cannot map owners"
        return [Finding("mapped mounts", ABSENT, message)]
    kernel = Kernel()
    try:
        mapping = [(0, 100_000, 1)]
        namespace = user_namespace(kernel, mapping, mapping)
    except OSError as error:
        return [Finding("mapped mounts", WARNING, f"cannot be tried: {error.strerror}")]
    works: dict[str, list[str]] = {}
    fails: dict[str, list[str]] = {}
    try:
        seen: set[int] = set()
        for path in STORES:
            device = os.stat(path).st_dev if os.path.isdir(path) else 0
            if device and device not in seen:
                seen.add(device)
                (works if _maps(kernel, path, namespace) else fails).setdefault(
                    _filesystem(kernel, path), []
                ).append(path)
    finally:
        kernel.close(namespace)
    told = "; ".join(
        f"{word}: {', '.join(f'{name} ({chr(32).join(paths)})' for name, paths in group.items())}"
        for word, group in (("can be mapped", works), ("cannot", fails))
        if group
    )
    if works:
        return [Finding("mapped mounts", OK, told)]
    return [Finding("mapped mounts", WARNING, f"{told}; volumes with uidMappings fail there")]


def _maps(kernel: Kernel, path: str, namespace: int) -> bool:
    try:
        mount = kernel.open_tree(c.AT_FDCWD, path, c.OPEN_TREE_CLONE)
    except OSError:
        return False
    try:
        kernel.mount_setattr(mount, set_=MOUNT_ATTR_IDMAP, userns=namespace)
    except OSError:
        return False
    finally:
        kernel.close(mount)
    return True


def _filesystem(kernel: Kernel, path: str) -> str:
    fd = kernel.openat(c.AT_FDCWD, path, c.O_PATH | c.O_DIRECTORY)
    try:
        magic = kernel.filesystem(fd)
    finally:
        kernel.close(fd)
    return FILESYSTEMS.get(magic, hex(magic))
