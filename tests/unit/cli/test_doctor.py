"""`doctor`: what it says of hosts that lack something, and that its page has each cure."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ociruntime.cli.doctor import CHECKS, as_text, works
from ociruntime.doctor import (
    ABSENT,
    FAILED,
    OK,
    WARNING,
    Finding,
    Machine,
    cgroups,
    kernel,
    programs,
    users,
)
from ociruntime.screen import Screen
from tests.support.screens import WIDTHS, check

from ..spec.documents import CHECKOUT
from .caller import call

PAGE = (CHECKOUT / "docs/troubleshooting.md").read_text()
V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
UID = 12345


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Machine]:
    """A machine of these files and of nothing else."""

    def make(files: dict[str, str], *, euid: int = 0, rootless: bool = False) -> Machine:
        for name, text in files.items():
            path = tmp_path / name.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Machine(str(tmp_path), euid, rootless=rootless)

    return make


def outcomes(findings: list[Finding]) -> dict[str, str]:
    return {finding.subject: finding.outcome for finding in findings}


Host = Callable[..., Machine]


@pytest.mark.parametrize(
    ("release", "outcome"),
    [("5.10.0-8-amd64", FAILED), ("5.15.0", OK), ("6.1.0-rc1", OK), ("4.19", FAILED), ("", OK)],
)
def test_kernel(host: Host, release: str, outcome: str) -> None:
    (found,) = kernel.version(host({"/proc/sys/kernel/osrelease": f"{release}\n"}))
    assert found.outcome == outcome
    assert release in found.message
    assert bool(found.cure) == (outcome != OK)


def test_namespaces(host: Host) -> None:
    machine = host({f"/proc/self/ns/{name}": "" for name in ("mnt", "pid")}, euid=UID)
    assert outcomes(kernel.namespaces(machine)) == {"namespaces": FAILED, "user namespaces": OK}
    assert "network" in kernel.namespaces(machine)[0].message


@pytest.mark.parametrize(
    ("file", "value", "cure"),
    [
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_user_namespaces(host: Host, file: str, value: str, cure: str) -> None:
    machine = host({f"/proc/sys/{file}": value}, euid=UID)
    found = kernel.namespaces(machine)[-1]
    assert (found.outcome, found.cure) == (FAILED, f"sudo sysctl -w {cure}")
    assert not works(kernel.namespaces(machine))


def test_cgroups(host: Host) -> None:
    (found,) = cgroups.layout(host({"/proc/self/mountinfo": "", "/proc/self/cgroup": ""}))
    assert (found.outcome, found.cure) == (FAILED, "sudo mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    files = {
        "/proc/self/mountinfo": V2,
        "/proc/self/cgroup": "0::/user.slice/x\n",
        "/sys/fs/cgroup/cgroup.controllers": "cpu io memory pids\n",
    }
    assert outcomes(cgroups.layout(host(files))) == {"cgroups": OK}


def test_delegation(host: Host) -> None:
    files = {
        "/proc/self/mountinfo": V2,
        "/proc/self/cgroup": "0::/user.slice/x\n",
        "/sys/fs/cgroup/cgroup.controllers": "cpu io memory pids\n",
    }
    missing = cgroups.layout(host(files, rootless=True))[-1]
    assert (missing.outcome, missing.cure.split()[0]) == (WARNING, "systemd-run")
    own = "/sys/fs/cgroup/user.slice/x"
    partly = {**files, f"{own}/cgroup.procs": "", f"{own}/cgroup.controllers": "memory pids\n"}
    found = cgroups.layout(host(partly, rootless=True))[-1]
    assert (found.outcome, found.cure) == (WARNING, cgroups.DELEGATE)
    assert "cpu, io" in found.message
    whole = host({**partly, f"{own}/cgroup.controllers": "cpu io memory pids\n"}, rootless=True)
    assert cgroups.layout(whole)[-1].outcome == OK
    hybrid = V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified") + (
        "31 23 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    groups = "0::/x\n2:memory:/x\n"
    machine = host({"/proc/self/mountinfo": hybrid, "/proc/self/cgroup": groups}, rootless=True)
    assert "unified_cgroup_hierarchy" in cgroups.layout(machine)[-1].cure


def test_ids_of_users(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = users.ranges(host({"/etc/subuid": "", "/etc/subgid": ""}, euid=UID))
    assert found.outcome == WARNING
    assert found.cure.startswith("sudo usermod --add-subuids ")
    granted = host(
        {"/etc/subuid": f"{UID}:1:65536\n", "/etc/subgid": f"{UID}:1:60000\n{UID}:70000:6000\n"},
        euid=UID,
    )
    assert outcomes(users.ranges(granted)) == {"ranges of ids": OK}
    assert users.helpers(granted)[0].cure == "sudo apt-get install -y uidmap"
    plain = host({"/usr/bin/newuidmap": "", "/usr/bin/newgidmap": ""}, euid=UID)
    assert users.helpers(plain)[0].cure == "sudo chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap"
    for name in ("newuidmap", "newgidmap"):
        os.chmod(f"{plain.root}/usr/bin/{name}", 0o4755)
    assert outcomes(users.helpers(plain)) == {"newuidmap": OK}
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert "loginctl" in users.directory(plain)[0].cure
    assert users.ranges(host({})) == users.helpers(host({})) == []


def test_proc_of_a_container(host: Host) -> None:
    text = "1 2 0:1 / /proc rw - proc proc rw\n3 1 0:2 /null /proc/kcore rw - tmpfs tmpfs rw\n"
    (found,) = users.proc(host({"/proc/self/mountinfo": text}, euid=UID))
    assert (found.outcome, "/proc/kcore" in found.message) == (ABSENT, True)


def test_programs_of_others(host: Host) -> None:
    bare = host({})
    assert programs.firewall(bare)[0].cure == "sudo apt-get install -y nftables"
    assert programs.network_plugins(bare)[0].outcome == ABSENT
    assert programs.checkpoint(bare)[0].cure == "sudo apt-get install -y criu"
    full = host({"/usr/sbin/nft": "", "/usr/lib/cni/bridge": "", "/usr/bin/criu": ""})
    for name in ("usr/sbin/nft", "usr/bin/criu"):
        os.chmod(f"{full.root}/{name}", 0o755)
    assert programs.firewall(full)[0].message == "/usr/sbin/nft"
    assert "not host-local, portmap" in programs.network_plugins(full)[0].message
    assert programs.checkpoint(full)[0].outcome == OK


def test_systemd_and_modules(host: Host) -> None:
    assert cgroups.systemd(host({}))[0].outcome == ABSENT
    without = host({"/run/systemd/system/x": ""})
    assert cgroups.systemd(without)[0].cure == "sudo apt-get install -y dbus"
    assert kernel.security_modules(host({}))[0].outcome == ABSENT
    confined = host({"/sys/module/apparmor/parameters/enabled": "Y\n"})
    assert kernel.security_modules(confined)[0].message == "AppArmor can confine containers"
    assert kernel.seccomp(host({}))[0].outcome == FAILED


def test_this_host() -> None:
    """Whatever it is: containers are made here by these tests, so it must be able to."""
    done = call(None, "doctor", "--json")
    document = json.loads(done.stdout)
    assert document["works"] is (done.status == 0)
    if os.geteuid() == 0:
        assert document["works"], done.stdout
    assert {finding["outcome"] for finding in document["findings"]} <= {OK, ABSENT, WARNING, FAILED}
    text = call(None, "doctor", "--rootless").stdout
    assert text.startswith("for an ordinary user's containers:\n")


def test_every_subject_has_its_section_with_the_cure() -> None:
    """Found in the source, because this host lacks little."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
    source = "".join(path.read_text() for path in (CHECKOUT / "ociruntime/doctor").glob("*.py"))
    subjects = set(re.findall(r'Finding\(\s*"([^"]+)"', source)) | {"delegation"}
    assert len(subjects) >= 17
    assert subjects == set(sections)
    cures = set(re.findall(r'"(sudo apt-get install -y [^"]+)"', source))
    assert len(cures) >= 8
    for cure in cures:
        assert cure in PAGE, cure
    for word in ("user.max_user_namespaces=15000", "enable-linger", "image refresh", "u+s"):
        assert word in PAGE
    assert cgroups.DELEGATE in PAGE


@pytest.mark.parametrize("width", WIDTHS)
def test_screens(host: Host, width: int) -> None:
    machine = host({"/proc/sys/kernel/osrelease": "5.10.0-8-amd64\n", "/proc/self/mountinfo": ""})
    names = ("version", "namespaces", "layout", "systemd", "security_modules", "firewall")
    findings = [
        finding for look in CHECKS if look.__name__ in names for finding in look(machine)
    ]
    text = as_text(findings, machine, Screen(width))
    check("doctor", width, text)
