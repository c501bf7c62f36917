"""Finishing touches of a mount: what is done to it, one after the other, while it is detached and
nobody can see it (config.md#mounts).

A step says where its mount comes from and where it goes; what the config asks for beside that is
in its list of touches, made by the planner. Those that few configs need are with their subject:
``idmap.MapIds``, ``lsm.LabelRoot``.
"""

from __future__ import annotations

from ociruntime.kernel import constants as c
from ociruntime.process.step import Step
from ociruntime.steps.copyup import copy_tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.kernel.kernel import Kernel
    from ociruntime.process.run import Run
    from ociruntime.spec.mount_options import MountOptions


class Touch:
    """One of them: data, until it is applied."""

    __slots__ = ()

    def operands(self) -> dict[str, object]:
        """What it adds to those of its step, ready for JSON."""
        return {}

    def apply(self, run: Run, kernel: Kernel, mount: int) -> None:
        """Do it to the detached ``mount``; ``kernel`` is that of the side where it is."""
        raise NotImplementedError


class Touched(Step):
    """A step that has a mount in its hands while it is detached."""

    __slots__ = ("touches",)

    def __init__(self, pointer: str, label: str, touches: list[Touch]) -> None:
        super().__init__(pointer, label)
        self.touches = touches

    def operands(self) -> dict[str, object]:
        told = super().operands()
        del told["touches"]
        for touch in self.touches:
            told |= touch.operands()
        return dict(sorted(told.items()))

    def finish(self, run: Run, kernel: Kernel, mount: int) -> None:
        """Apply all touches, in their order."""
        for touch in self.touches:
            touch.apply(run, kernel, mount)


class Propagation(Touch):
    """A copy of a mount of the host's gets another propagation than its original has: with that,
    what is mounted below it would appear on the host. 0 leaves it as it is.
    """

    __slots__ = ("flags",)

    def __init__(self, flags: int) -> None:
        self.flags = flags

    def operands(self) -> dict[str, object]:
        return {"propagation": self.flags}

    def apply(self, run: Run, kernel: Kernel, mount: int) -> None:
        if self.flags:
            kernel.mount_setattr(mount, propagation=self.flags, recursive=True)


class CopyImage(Touch):
    """The option tmpcopyup: what the image has at the destination appears in the new filesystem."""

    __slots__ = ("destination", "options")

    def __init__(self, destination: str, options: MountOptions) -> None:
        self.destination = destination
        self.options = options

    def apply(self, run: Run, kernel: Kernel, mount: int) -> None:
        image = run.inside().open(self.destination, c.O_RDONLY | c.O_DIRECTORY)
        run.copied = copy_tree(kernel, image, mount, self.options.copy_bound, run.copied)
        kernel.close(image)


class Attributes(Touch):
    """The attributes that the options ask for; ``is_new``: as ``set_attributes`` has it."""

    __slots__ = ("is_new", "options")

    def __init__(self, options: MountOptions, *, is_new: bool = False) -> None:
        self.options = options
        self.is_new = is_new

    def apply(self, run: Run, kernel: Kernel, mount: int) -> None:
        set_attributes(kernel, mount, self.options, is_new=self.is_new)


class Keep(Touch):
    """A descriptor of the mount is kept as ``run.mounts[pointer]`` for each step that changes it
    later: whoever shares the rootfs may have moved the place by then (CVE-2026-115521).
    """

    __slots__ = ("pointers",)

    def __init__(self, pointers: list[str]) -> None:
        self.pointers = pointers

    def apply(self, run: Run, kernel: Kernel, mount: int) -> None:
        for pointer in self.pointers:
            run.mounts[pointer] = run.inner.open_tree(mount, "", c.AT_EMPTY_PATH)


def set_attributes(
    kernel: Kernel,
    mount: int,
    options: MountOptions,
    set_: int | None = None,
    *,
    is_new: bool = False,
) -> None:
    """The mount's own attributes, ``set_`` in place of the options', then those for the whole
    tree. One that is new (``is_new``) has relatime, the kernel's default.
    """
    set_ = options.attr_set if set_ is None else set_
    clear = options.attr_clr
    undone = 0 if is_new else options.atime_undone
    if undone and undone & kernel.access_time(mount):
        clear |= c.MOUNT_ATTR__ATIME
    if set_ or clear:
        kernel.mount_setattr(mount, set_=set_, clear=clear)
    if options.recursive_set or options.recursive_clr:
        kernel.mount_setattr(
            mount, set_=options.recursive_set, clear=options.recursive_clr, recursive=True
        )


def set_propagation(kernel: Kernel, mount: int, options: MountOptions) -> None:
    """Each propagation type that was asked for, in order (config.md#mounts,
    mount_namespaces(7)).
    """
    for flags in options.propagation:
        recursive = bool(flags & c.MS_REC)
        kernel.mount_setattr(mount, propagation=flags & ~c.MS_REC, recursive=recursive)
