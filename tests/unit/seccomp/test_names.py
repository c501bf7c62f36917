"""Names of system calls: typing errors, and calls that are younger than libseccomp."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ociruntime.kernel.libseccomp import Library
from ociruntime.spec.callnames import known_names, misspelt, probably_meant
from ociruntime.spec.newercalls import NUMBERS
from tests.unit.spec.documents import corpus

KNOWN = known_names(Library())
# The profile that podman, buildah and CRI-O bring.
CONTAINERS = Path("/usr/share/containers/seccomp.json")


def test_the_library_names_calls_of_all_architectures() -> None:
    assert {"openat", "socketcall", "s390_pci_mmio_read", "arm_fadvise64_64"} <= KNOWN
    assert "no_such_call" not in KNOWN
    assert NUMBERS.keys() < KNOWN


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("opneat", "openat"),
        ("raed", "read"),
        ("OPENAT", "openat"),
        ("execveatt", "execveat"),
        ("map_shadow_stak", "map_shadow_stack"),
        ("io_uring_entr", "io_uring_enter"),
    ],
)
def test_a_typing_error(name: str, meant: str) -> None:
    assert probably_meant(name, KNOWN) == meant


@pytest.mark.parametrize(
    "name",
    [
        "clone4", "fchmodat3", "openat3", "mount2", "ioctlat", "statx2", "clock_gettime128",
        "riscv_hwprobe2", "s390_new", "uretprobe", "rseq_slice_yield", "no_such_call", "",
    ],
)  # fmt: skip
def test_what_may_be_a_younger_call(name: str) -> None:
    assert probably_meant(name, KNOWN) == ""


def test_the_profiles_of_engines_have_no_typing_errors() -> None:
    names = []
    for path in corpus():
        profile = json.loads(path.read_text())["linux"].get("seccomp") or {}
        names += [("", name) for rule in profile.get("syscalls") or () for name in rule["names"]]
    if CONTAINERS.exists():
        profile = json.loads(CONTAINERS.read_text())
        names += [("", name) for rule in profile["syscalls"] for name in rule["names"]]
    assert names
    assert misspelt(names) == []
