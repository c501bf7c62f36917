"""What the launcher must know about its interpreter, as KEY=value lines for meson.

Run by the build's own Python: the launcher then starts that interpreter without searching.
"""

import os
import sys
import sysconfig


def main() -> int:
    """Print the facts; 1 and a line on stderr when this Python has no shared library."""
    config = sysconfig.get_config_var
    library = os.path.join(config("LIBDIR") or "", config("INSTSONAME") or "")
    if not library.endswith(".so.1.0") or not os.path.exists(library):
        sys.stderr.write(
            f"{sys.executable} has no shared libpython ({library} is missing);"
            " install python3-dev and build with the distribution's python3\n"
        )
        return 1
    facts = {
        "INTERPRETER_LIBRARY": library,
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
