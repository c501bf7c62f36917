"""The launcher's own import system, frozen into the extension module and run before the first
import.

It serves two kinds that are no files: the built-in ociruntime.kernel._sys, and, in an installed
runtime, the package's own modules, frozen when it was built. A module comes with everything that it
imports, in the order in which Python would load it (`closures`, made by freeze.py), so Python's own
machinery, which costs more than many a module, runs once for all of them.

The interpreter is at its core then: no encodings, no sys.stdout, no files to import from (PEP 587,
"multi-phase initialization"). Commands of the hot path need no more. Whatever asks for a module
that is neither ours nor built in gets the rest of the interpreter first.
"""

import _imp
import builtins
import sys
from _frozen_importlib import BuiltinImporter, ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SYSCALLS = "ociruntime.kernel._sys"
WARMUP = "ociruntime.warmup"
# Extension modules of the standard library that every command needs: looking for them in each
# directory of sys.path would read three directories to the end.
EXTENSIONS = ("_json",)
# Modules that are at home in the core. Other built-in ones are not tried: _signal would crash it.
# The codecs are part of the completion itself.
CORE = frozenset(
    [
        "_blake2",
        "_codecs",
        "_posixsubprocess",
        "_sha256",
        "_socket",
        "_struct",
        "codecs",
        "encodings",
        "encodings.aliases",
        "encodings.utf_8",
        "errno",
        "fcntl",
        "gc",
        "marshal",
        "math",
        "posix",
        "select",
        "time",
    ]
)
Module = type(sys)


class Finder:
    """Finder and loader; `install_dir` makes __file__ and __path__ what they are for files."""

    def __init__(
        self,
        install_dir: str,
        dynload: str,
        suffix: str,
        complete: "Callable[[], None]",
        closures: "dict[str, tuple[str, ...]]",
    ) -> None:
        self.install_dir = install_dir
        self.complete = complete
        self.extensions = {name: f"{dynload}/{name}{suffix}" for name in EXTENSIONS}
        self.closures = closures
        self.loaded: set[str] = set()

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The spec of one of our modules or of a known library module, None for any other (files
        come next).
        """
        if name in self.extensions:
            return ModuleSpec(name, Extension, origin=self.extensions[name])  # type: ignore[arg-type]
        if name == SYSCALLS:
            return ModuleSpec(name, BuiltinImporter, origin="built-in")  # type: ignore[arg-type]
        closure = self.closures.get(name)
        if closure is None:
            if name not in CORE:
                # Python's finder for files then comes behind us in the list that our caller is
                # walking through.
                self.complete()
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


class Extension:
    """Loads an extension module from the one place where it is."""

    @staticmethod
    def create_module(spec: ModuleSpec) -> "ModuleType":
        """Load the shared object."""
        return _imp.create_dynamic(spec)

    @staticmethod
    def exec_module(module: "ModuleType") -> None:
        """Fill the module."""
        _imp.exec_dynamic(module)


def install(
    install_dir: str,
    dynload: str,
    suffix: str,
    complete: "Callable[[], None]",
) -> None:
    """Put the finder in front of Python's own.

    Parameters: `dynload` is the directory of the library's extension modules, `suffix` the end of
    their names, `complete` initializes the rest of the interpreter; calling it again does nothing.
    """
    from _ociruntime_closures import CLOSURES

    finder = Finder(install_dir, dynload, suffix, complete, CLOSURES)
    sys.meta_path.insert(0, finder)  # type: ignore[arg-type]

    def open_after_completion(*args: object, **options: object) -> object:
        """Stand in for open(), which the core has not."""
        complete()
        return builtins.open(*args, **options)  # type: ignore[call-overload]

    builtins.open = open_after_completion


def preload() -> None:
    """Load every module of ours that the core can run, for the start image, and use them."""
    from _ociruntime_closures import PRELOAD

    for name in PRELOAD:
        __import__(name)
    if WARMUP in PRELOAD:
        sys.modules[WARMUP].warm_up()
