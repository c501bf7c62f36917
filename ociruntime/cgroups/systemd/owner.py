"""Whose systemd an unprivileged caller has to ask, for ``--systemd-cgroup``."""

from __future__ import annotations

from ociruntime import hostos as os

# The sockets of the system's manager and of its bus; whoever is root there owns them.
SOCKETS = ("/run/systemd/private", "/run/dbus/system_bus_socket")


def whose_systemd(euid: int) -> str:
    """``system`` for root of a user namespace that has a systemd of its own, as in a system
    container; else ``user``.

    In the namespace that podman makes for a user, root of the host owns the sockets, and is shown
    as nobody.
    """
    if euid != 0:
        return "user"
    for path in SOCKETS:
        try:
            return "system" if os.stat(path).st_uid == 0 else "user"
        except OSError:
            continue
    return "user"
