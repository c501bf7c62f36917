"""The launcher's own finder, frozen into the extension module and run before the first import.

Python's finders look for a dotted name in the parent package's directory only. This one comes
first and serves two kinds that are no files: the built-in ociruntime.kernel._sys, and, in an
installed runtime, the package's own modules, frozen when it was built. Reading each of them from
its .pyc would cost about a dozen system calls, and opening paths is what the runtime avoids.
"""

import _imp
import sys
from _frozen_importlib import BuiltinImporter, ModuleSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

SYSCALLS = "ociruntime.kernel._sys"


class Finder:
    """Finder and loader; `install_dir` makes __file__ and __path__ what they are for files."""

    def __init__(self, install_dir: str) -> None:
        self.install_dir = install_dir

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """The spec of one of our modules, None for any other (files come next)."""
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


def install(install_dir: str) -> None:
    """Put the finder in front of Python's own."""
    sys.meta_path.insert(0, Finder(install_dir))
