"""``python -m ociruntime``: executes the program that was installed with this package.

Commands need that program: it seals itself before its process enters a container, and an
interpreter that is somebody else's cannot.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

PROGRAM = "ociruntime"


def program() -> Path | None:
    """Where the program is: with the scripts of this Python, or where our own layouts have it."""
    package = Path(__file__).resolve().parent
    home = package.parent
    places = [Path(sysconfig.get_path("scripts"))]
    # lib/python3.X/site-packages, lib/python3/dist-packages; lib/ociruntime; a checkout.
    places += [*(parent.parent / "bin" for parent in home.parents if parent.name == "lib")]
    places += [home.parent.parent / "bin", home / "build"]
    candidates = (place / PROGRAM for place in places)
    return next((path for path in candidates if os.access(path, os.X_OK)), None)


def main() -> int:
    """Return only when there is no program."""
    path = program()
    if path is not None:
        try:
            os.execv(path, [str(path), *sys.argv[1:]])  # noqa: S606 - no shell is meant
        except OSError as error:
            sys.stderr.write(f"ociruntime: {path}: {error.strerror}\n")
            return 1
    sys.stderr.write(
        f"ociruntime: the program of {Path(__file__).parent} is not to be found; reinstall it,"
        " or run `make dev` in a checkout\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
