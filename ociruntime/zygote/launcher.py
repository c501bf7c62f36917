"""Where the ociruntime command of this library is."""

from __future__ import annotations

import os

from ociruntime.errors import OciError

NAME = "ociruntime"
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Relative to the package: a checkout; lib/pythonX.Y/site-packages and lib/python3/dist-packages;
# lib/ociruntime (make install).
PLACES = ("../build", "../../../../bin", "../../../bin")


def find_launcher() -> str:
    """The command that was installed with this package, else the first in PATH; raises
    ``OciError``.
    """
    places = [os.path.normpath(f"{PACKAGE}/{place}") for place in PLACES]
    for place in places + os.get_exec_path():
        path = os.path.join(place, NAME)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    from ociruntime.absence import any_denied

    denied = any_denied([os.path.join(place, NAME) for place in places])
    if denied:
        raise OciError(f"{denied}: permission denied; let this user execute it, or name another")
    raise OciError(
        f"the ociruntime command is neither in {places[1]} nor in PATH; install the package again, "
        "or name its path"
    )
