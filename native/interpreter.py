"""What the launcher must know about its interpreter, as KEY=value lines for meson.

Run by the build's own Python: the launcher then starts that interpreter without searching.
"""

import os
import platform
import sys
import sysconfig

MACHINES = ("x86_64", "aarch64")  # native/machine.h


def library() -> str | None:
    """The shared libpython, None when this Python has none."""
    config = sysconfig.get_config_var
    name = config("INSTSONAME") or ""
    if ".so" not in name:
        return None
    # An interpreter that was moved after it was built remembers the directory it was built for.
    for directory in (config("LIBDIR") or "", f"{sys.base_prefix}/lib"):
        path = os.path.join(directory, name)
        if os.path.exists(path):
            return path
    return None


def main() -> int:
    """Print the facts; 1 and a line on stderr when this Python cannot be embedded."""
    config = sysconfig.get_config_var
    if sys.implementation.name != "cpython" or sys.version_info < (3, 11):
        sys.stderr.write(f"ociruntime needs CPython 3.11 or newer, not {sys.executable}\n")
        return 1
    if platform.machine() not in MACHINES:
        sys.stderr.write(
            f"ociruntime is written for {' and '.join(MACHINES)}, not {platform.machine()};"
            " docs/platforms.md has the list of what a port needs\n"
        )
        return 1
    path = library()
    if path is None:
        sys.stderr.write(
            f"{sys.executable} has no shared libpython ({config('LIBDIR')}/{config('INSTSONAME')});"
            " install python3-dev and build with the distribution's python3, or build that Python"
            " with --enable-shared\n"
        )
        return 1
    facts = {
        "INTERPRETER_LIBRARY": path,
        "INTERPRETER_PREFIX": sys.base_prefix,
        "INTERPRETER_STDLIB": sysconfig.get_path("stdlib"),
        "INTERPRETER_DYNLOAD": config("DESTSHARED"),
        "INTERPRETER_SUFFIX": config("EXT_SUFFIX"),
        "INTERPRETER_NAME": f"python{sys.version_info.major}.{sys.version_info.minor}",
    }
    for name, value in facts.items():
        print(f"{name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
