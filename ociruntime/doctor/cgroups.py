"""Control groups: which there are, whether this caller may make some, and systemd's part in it."""

from __future__ import annotations

import importlib.util
import os

from ociruntime.cgroups.detect import NONE, V2, parse
from ociruntime.doctor import ABSENT, FAILED, OK, WARNING, Finding, Machine

WANTED = ("cpu", "io", "memory", "pids")
# The file of systemd that hands controllers to users' sessions.
DELEGATE = (
    "sudo sh -c 'mkdir -p /etc/systemd/system/user@.service.d && printf \"[Service]\\nDelegate=cpu "
    'cpuset io memory pids\\n" >/etc/systemd/system/user@.service.d/delegate.conf && systemctl '
    "daemon-reload'"
)
BUSES = ("/run/systemd/private", "/run/dbus/system_bus_socket")


def layout(machine: Machine) -> list[Finding]:
    """Which hierarchies are mounted, and what the caller may do there."""
    found = parse(machine.read("/proc/self/mountinfo"), machine.read("/proc/self/cgroup"))
    if found.mode == NONE:
        cure = "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        outcome = WARNING if machine.rootless else FAILED
        return [Finding("cgroups", outcome, "no hierarchy is mounted: nothing is limited", cure)]
    controllers = {name for item in found.hierarchies for name in item.controllers}
    unified = found.unified
    if unified is not None:
        controllers |= set(machine.read(f"{unified.mountpoint}/cgroup.controllers").split())
    told = ", ".join(sorted(controllers)) or "none"
    findings = [Finding("cgroups", OK, f"{found.mode}; controllers: {told}")]
    missing = [name for name in WANTED if name not in controllers and name != "io"]
    if missing:
        message = f"no controller for {', '.join(missing)}: such limits fail"
        findings.append(Finding("cgroups", WARNING, message))
    if machine.rootless:
        own = unified.own_path() if unified is not None else None
        directory = f"{unified.mountpoint}{own}" if unified is not None and own is not None else ""
        findings.append(_delegation(machine, directory, is_unified=found.mode == V2))
    return findings


def _delegation(machine: Machine, directory: str, *, is_unified: bool) -> Finding:
    """Whether an ordinary user may limit containers."""
    subject = "delegation"
    if not is_unified:
        message = "ordinary users have no cgroups on v1 and hybrid hosts: no limits, no pause"
        cure = "sudo sed -i 's/^GRUB_CMDLINE_LINUX=\"/&systemd.unified_cgroup_hierarchy=1 /' "
        return Finding(subject, WARNING, message, cure + "/etc/default/grub")
    if not directory or not os.access(f"{machine.root}{directory}/cgroup.procs", os.W_OK):
        message = f"{directory or 'the own cgroup'} is not this user's: no limits, no pause"
        cure = "systemd-run --user --scope -p Delegate=yes $SHELL"
        return Finding(subject, WARNING, message, cure)
    given = machine.read(f"{directory}/cgroup.controllers").split()
    missing = [name for name in WANTED if name not in given]
    if missing:
        message = f"{directory} has no {', '.join(missing)}: such limits fail"
        return Finding(subject, WARNING, message, DELEGATE)
    return Finding(subject, OK, f"{directory} has {', '.join(given)}")


def systemd(machine: Machine) -> list[Finding]:
    """Whether --systemd-cgroup can work."""
    if not machine.exists("/run/systemd/system"):
        message = "systemd is not at work; --systemd-cgroup cannot be used"
        return [Finding("systemd", ABSENT, message)]
    if not any(machine.exists(bus) for bus in BUSES):
        message = "systemd has no bus here; --systemd-cgroup cannot be used"
        return [Finding("systemd", WARNING, message, "sudo apt-get install -y dbus")]
    if importlib.util.find_spec("jeepney") is None:
        message = "Python's jeepney is missing; --systemd-cgroup cannot be used"
        return [Finding("systemd", WARNING, message, "sudo apt-get install -y python3-jeepney")]
    return [Finding("systemd", OK, "can make cgroups (--systemd-cgroup)")]
