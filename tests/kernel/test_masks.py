"""Masked and read-only paths (config-linux.md, "Masked Paths" and "Readonly Paths")."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.bundle import Bundle
from tests.support.runtime import Runtime

MakeBundle = Callable[..., Bundle]


def test_masked(runtime: Runtime, bundle: MakeBundle) -> None:
    """A file reads as empty; a directory is empty and cannot be written."""
    made = bundle().set("/linux/maskedPaths", ["/secret", "/private", "/etc/passwd", "/missing/x"])
    (made.rootfs / "secret").write_text("hidden\n")
    (made.rootfs / "private").mkdir()
    (made.rootfs / "private/file").write_text("hidden\n")
    script = "cat /secret /etc/passwd; ls -A /private; touch /private/x 2>/dev/null || echo refused"
    assert runtime.run_output(made, script) == "refused\n"
    assert (made.rootfs / "secret").read_text() == "hidden\n"
    assert not (made.rootfs / "missing").exists()


def test_readonly(runtime: Runtime, bundle: MakeBundle) -> None:
    """A file or directory, but not what is mounted below it."""
    made = bundle().set("/linux/readonlyPaths", ["/fixed", "/etc/passwd", "/missing"])
    (made.rootfs / "fixed").mkdir()
    (made.rootfs / "fixed/file").write_text("kept\n")
    made.add_mount("/fixed/sub", "tmpfs", "tmpfs")
    script = "".join(
        f"echo x >{path} 2>/dev/null && echo {path} is writable;"
        for path in ("/fixed/file", "/fixed/new", "/etc/passwd")
    )
    script += "cat /fixed/file; echo y >/etc/hosts; echo z >/fixed/sub/new"
    assert runtime.run_output(made, script) == "kept\n"


def test_mask_below_readonly(runtime: Runtime, bundle: MakeBundle) -> None:
    made = bundle().set("/linux/readonlyPaths", ["/etc"]).set("/linux/maskedPaths", ["/etc/passwd"])
    script = "cat /etc/passwd; touch /etc/x 2>/dev/null || echo refused"
    assert runtime.run_output(made, script) == "refused\n"


def test_proc(runtime: Runtime, bundle: MakeBundle) -> None:
    """The paths that every engine asks for."""
    script = (
        "cat /proc/kcore /proc/keys /proc/timer_list; echo 1 >/proc/sys/kernel/panic && echo bad"
    )
    assert runtime.run(bundle().shell(script + "; true")).check().stdout == ""
