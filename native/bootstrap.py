"""The launcher's own finder, frozen into the extension module and run before the first import.

Python's finders look for a dotted name in the parent package's directory only. This one comes
first and serves two kinds that are no files: the built-in ociruntime.kernel._sys, and, in an
installed runtime, the package's own modules, frozen when it was built. Reading each of them from
its .pyc would cost about a dozen system calls, and opening paths is what the runtime avoids.
"""

import _imp
import posix
import sys
from _frozen_importlib import BuiltinImporter, ModuleSpec
from _frozen_importlib_external import ExtensionFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

SYSCALLS = "ociruntime.kernel._sys"
# Extension modules of the standard library that every command needs: looking for them in each
# directory of sys.path would read three directories to the end.
EXTENSIONS = ("_json",)


def _file_spec(name: str, path: str) -> ModuleSpec | None:
    """The spec of the extension module at `path`; None where Python has it built in."""
    try:
        posix.stat(path)
    except OSError:
        return None
    spec = ModuleSpec(name, ExtensionFileLoader(name, path), origin=path)
    spec.has_location = True
    return spec


class Finder:
    """Finder and loader; `install_dir` makes __file__ and __path__ what they are for files."""

    def __init__(self, install_dir: str, dynload: str, suffix: str) -> None:
        self.install_dir = install_dir
        self.extensions = {name: f"{dynload}/{name}{suffix}" for name in EXTENSIONS}

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The spec of one of our modules or of a known library module, None for any other (files
        come next).
        """
        if name in self.extensions:
            return _file_spec(name, self.extensions[name])
        if name == SYSCALLS:
            return ModuleSpec(name, BuiltinImporter, origin="built-in")  # type: ignore[arg-type]
        if not name.startswith("ociruntime") or not _imp.is_frozen(name):
            return None
        is_package = _imp.is_frozen_package(name)
        place = f"{self.install_dir}/{name.replace('.', '/')}"
        origin = place + ("/__init__.py" if is_package else ".py")
        spec = ModuleSpec(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [place]
        return spec

    def create_module(self, spec: ModuleSpec) -> None:
        """Create nothing: an ordinary module will do."""

    def exec_module(self, module: "ModuleType") -> None:
        """Run the frozen code."""
        exec(_imp.get_frozen_object(module.__name__), module.__dict__)  # noqa: S102


def install(install_dir: str, dynload: str, suffix: str) -> None:
    """Put the finder in front of Python's own.

    Parameters: `dynload` is the directory of the library's extension modules, `suffix` the end of
    their names.
    """
    sys.meta_path.insert(0, Finder(install_dir, dynload, suffix))
