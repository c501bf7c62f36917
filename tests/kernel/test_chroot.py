"""A runtime that itself runs in a chroot: what it makes and enters is the container, never the
machine around the chroot.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from ociruntime.state.store import Store
from tests.support.executed import failure_of, output_of, process

if TYPE_CHECKING:
    from tests.support.bundle import Bundle
    from tests.support.runtime import Runtime
    from tests.support.sandbox import Sandbox

MakeBundle = Callable[..., "Bundle"]
# The machine's own tree, at another place: the same paths, and another root.
INTO = 'mount --rbind / "$0" && exec chroot "$0" "$@"'


@pytest.fixture
def chroot(sandbox: Sandbox) -> tuple[str, ...]:
    top = sandbox.directory / "top"
    top.mkdir()
    return ("unshare", "--mount", "--propagation", "private", "sh", "-c", INTO, str(top))


@pytest.fixture
def container(runtime: Runtime, bundle: MakeBundle, chroot: tuple[str, ...]) -> str:
    if not runtime.is_ours:
        pytest.skip("shows what ours does")
    made = bundle(args=["sleep", "100"])
    (made.rootfs / "mark").write_text("inside\n")
    container = runtime.create(made, wrapper=chroot).check().container
    runtime.start(container).check()
    return container


def test_the_container_is_entered(
    runtime: Runtime, container: str, chroot: tuple[str, ...], sandbox: Sandbox
) -> None:
    pid = runtime.pid(container)
    inside = sorted(os.listdir(f"/proc/{pid}/root"))
    script = "ls -a / | sort; cat /mark; pwd"
    for wrapper in ((), chroot):
        said = runtime.exec(container, "sh", "-c", script, wrapper=wrapper).check().stdout
        assert said.split()[2:] == [*inside, "inside", "/"]
    said = output_of(runtime, container, process("sh", "-c", script))
    assert said.split()[2:] == [*inside, "inside", "/"]


def test_hooks_are_the_containers(
    runtime: Runtime, bundle: MakeBundle, chroot: tuple[str, ...]
) -> None:
    made = bundle(args=["cat", "/by-hook"])
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "echo here >/by-hook"], "env": ["PATH=/bin"]}
    made.set("/hooks", {"startContainer": [hook]})
    assert runtime.run(made, wrapper=chroot).check().stdout == "here\n"
    assert (made.rootfs / "by-hook").read_text() == "here\n"


def test_a_root_that_is_not_to_be_found(runtime: Runtime, container: str) -> None:
    """Neither the namespace's root is the container's nor that of its first process: nothing of the
    machine is entered instead.
    """
    opened = Store(str(runtime.root)).open(container)
    try:
        opened.data["root"][2] += 1
        opened.save()
    finally:
        opened.close()
    words = failure_of(runtime, container, process("ls", "/"))
    assert "the container's root" in words
    assert "not where it was made" in words


def test_a_first_process_in_a_chroot(runtime: Runtime, bundle: MakeBundle) -> None:
    """It has changed its own root and not the container's: others have the whole of that."""
    made = bundle(args=["/bin/busybox", "chroot", "/deeper", "/busybox", "sleep", "100"])
    (made.rootfs / "deeper").mkdir()
    made.install(made.rootfs / "bin" / "busybox", "/deeper/busybox")
    container = runtime.up(made)
    assert "deeper" in output_of(runtime, container, process("ls", "/")).split()
    assert "deeper" in runtime.exec(container, "ls", "/").check().stdout.split()


def test_a_first_process_with_another_root(runtime: Runtime, bundle: MakeBundle) -> None:
    """It has mounted one over the container's and gone there, as an initial ramdisk does."""
    script = "cd /new && mount --move . / && exec chroot . /busybox sleep 100"
    made = bundle(args=["/bin/sh", "-c", script]).add_capabilities("CAP_SYS_ADMIN")
    (made.rootfs / "new").mkdir()
    source = made.path / "new"
    source.mkdir()
    made.bind(source, "/new")
    made.install(made.rootfs / "bin" / "busybox", "/elsewhere")
    (source / "busybox").write_bytes((made.rootfs / "bin" / "busybox").read_bytes())
    (source / "busybox").chmod(0o755)
    container = runtime.up(made)
    wanted = process("/busybox", "ls", "/")
    wanted["env"] = []
    runtime_says = runtime.exec(container, "/busybox", "ls", "/")
    assert runtime_says.check().stdout.split() == ["busybox"]
    assert output_of(runtime, container, wanted).split() == ["busybox"]
