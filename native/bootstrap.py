"""The launcher's own import system, frozen into the extension module and run before the first
import of ours.

It serves two kinds that are no files: the built-in ociruntime.kernel._sys, and, in an installed
runtime, the package's own modules, frozen when it was built. A module comes with everything that it
imports, in the order in which Python would load it (`closures`, made by freeze.py), so Python's own
machinery, which costs more than many a module, runs once for all of them. Everything else is found
as in any other Python.
"""

import _imp
import sys
from _frozen_importlib import BuiltinImporter, ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType
    from typing import Any, TextIO

SYSCALLS = "ociruntime.kernel._sys"
WARMUP = "ociruntime.warmup"
# As Python itself opens them with the configuration of embed.c.
STREAMS = (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w"))
Module = type(sys)


class Finder:
    """Finder and loader; `install_dir` makes __file__ and __path__ what they are for files."""

    def __init__(self, install_dir: str, closures: "dict[str, tuple[str, ...]]") -> None:
        self.install_dir = install_dir
        self.closures = closures
        self.loaded: set[str] = set()

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The spec of one of our modules, None for any other (Python's own finders come next)."""
        if name == SYSCALLS:
            return ModuleSpec(name, BuiltinImporter, origin="built-in")  # type: ignore[arg-type]
        closure = self.closures.get(name)
        if closure is None:
            return None
        for needed in closure:
            if needed not in self.loaded:
                self.load(needed)
        return ModuleSpec(name, self)  # type: ignore[arg-type]

    def make(self, name: str) -> "ModuleType":
        """A module that has not run yet. Modules below a package may be needed by the package
        itself, and so run before it.
        """
        module = sys.modules.get(name)
        if module is not None:
            return module
        module = sys.modules[name] = Module(name)
        place = f"{self.install_dir}/{name.replace('.', '/')}"
        parent, _, child = name.rpartition(".")
        if _imp.is_frozen_package(name):
            module.__path__ = [place]
            module.__package__ = name
            module.__file__ = place + "/__init__.py"
        else:
            module.__package__ = parent
            module.__file__ = place + ".py"
        if parent:
            setattr(self.make(parent), child, module)
        return module

    def load(self, name: str) -> "ModuleType":
        """Load one module whose needs are loaded already."""
        module = self.make(name)
        exec(_imp.get_frozen_object(name), module.__dict__)  # noqa: S102
        self.loaded.add(name)
        return module

    def create_module(self, spec: ModuleSpec) -> "ModuleType":
        """Load the module; what it needs is there."""
        return self.load(spec.name)

    def exec_module(self, module: "ModuleType") -> None:
        """Do nothing: it was loaded when it was created."""


class Stream:
    """Stands for a standard stream in an image and opens it when a command first uses it: the
    image's own streams would be those of the process that made it (buffered for its terminal).
    """

    def __init__(self, name: str, fd: int, mode: str) -> None:
        self._name = name
        self._fd = fd
        self._mode = mode
        self._stream: TextIO | None = None

    def _open(self) -> "TextIO":
        stream = self._stream
        if stream is None:
            is_error = self._name == "stderr"
            stream = self._stream = open(  # noqa: SIM115 - it stays open
                self._fd, self._mode, buffering=1 if is_error else -1, encoding="utf-8",
                errors="backslashreplace" if is_error else "surrogateescape", newline="\n",
                closefd=False,
            )  # fmt: skip
            for name in (self._name, f"__{self._name}__"):
                if getattr(sys, name) is self:
                    setattr(sys, name, stream)
        return stream

    def flush(self) -> None:
        """Do nothing where nothing was written."""
        if self._stream is not None:
            self._stream.flush()

    def __getattr__(self, name: str) -> "Any":
        return getattr(self._open(), name)

    def __iter__(self) -> "Iterator[str]":
        return iter(self._open())


def install(install_dir: str) -> None:
    """Put the finder in front of Python's own."""
    from _ociruntime_closures import CLOSURES

    sys.meta_path.insert(0, Finder(install_dir, CLOSURES))  # type: ignore[arg-type]


def preload() -> None:
    """Prepare the start image: load every module that may be in it, and use them."""
    from _ociruntime_closures import PRELOAD

    for name in PRELOAD:
        __import__(name)
    if WARMUP in PRELOAD:
        sys.modules[WARMUP].warm_up()
    for name, fd, mode in STREAMS:
        stream = Stream(name, fd, mode)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
