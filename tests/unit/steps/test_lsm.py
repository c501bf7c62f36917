"""The checks for a security module, on files that play the host's."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ociruntime.errors import OciError
from ociruntime.kernel.kernel import Kernel
from ociruntime.process.run import Run
from ociruntime.steps import lsm
from ociruntime.steps.lsm import CheckAppArmor, CheckSelinux


@pytest.fixture
def run() -> Run:
    return Run(Kernel(), [])


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with both modules; a test takes away what it wants to miss."""
    for name, text in (
        ("APPARMOR_ENABLED", "Y\n"),
        ("APPARMOR_PROFILES", "docker-default (enforce)\nodd (name) (complain)\n"),
        ("FILESYSTEMS", "nodev\tsysfs\nnodev\tselinuxfs\n\text4\n"),
    ):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(lsm, name, str(tmp_path / name))
    monkeypatch.setattr(lsm, "SELINUX_CHECK", str(tmp_path / "SELINUX_CHECK"))
    return tmp_path


@pytest.mark.parametrize(
    "profile", ["docker-default", "odd (name)", "unconfined", ":ns:any", "a//&b"]
)
def test_loaded_profile(run: Run, host: Path, profile: str) -> None:
    CheckAppArmor(profile).execute(run)


@pytest.mark.parametrize("loaded", ["docker-default (enforce)\n", ""])
def test_missing_profile(run: Run, host: Path, loaded: str) -> None:
    (host / "APPARMOR_PROFILES").write_text(loaded)
    with pytest.raises(
        OciError, match=r"apparmorProfile docker: no such profile .*apparmor_parser"
    ):
        CheckAppArmor("docker").execute(run)


def test_profiles_that_cannot_be_read(run: Run, host: Path) -> None:
    """A caller without rights on securityfs: the kernel judges later."""
    (host / "APPARMOR_PROFILES").unlink()
    CheckAppArmor("docker").execute(run)


@pytest.mark.parametrize("text", ["N\n", "", None])
def test_apparmor_is_not_enabled(run: Run, host: Path, text: str | None) -> None:
    if text is None:
        (host / "APPARMOR_ENABLED").unlink()
    else:
        (host / "APPARMOR_ENABLED").write_text(text)
    with pytest.raises(OciError, match="AppArmor is not enabled on this host; remove"):
        CheckAppArmor("unconfined").execute(run)


def test_context_is_asked_for(run: Run, host: Path) -> None:
    (host / "SELINUX_CHECK").touch()
    CheckSelinux("/process/selinuxLabel", "a:b:c").execute(run)
    assert (host / "SELINUX_CHECK").read_text() == "a:b:c"


def test_unknown_context() -> None:
    step = CheckSelinux("/linux/mountLabel", "a:b:c")
    assert step.label == "linux.mountLabel a:b:c"
    assert "no such context" in step.explain(errno.EINVAL)


def test_selinux_is_not_enabled(run: Run, host: Path) -> None:
    (host / "FILESYSTEMS").write_text("nodev\tsysfs\n")
    with pytest.raises(OciError, match=r"process\.selinuxLabel a: SELinux is not enabled"):
        CheckSelinux("/process/selinuxLabel", "a").execute(run)
