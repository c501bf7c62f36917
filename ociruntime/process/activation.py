"""Socket activation: descriptors that systemd, or an engine started by it, hands to the container
(sd_listen_fds(3)).
"""

from __future__ import annotations

from ociruntime import hostos as os
from ociruntime.process.descriptors import check_preserved

# Engines cannot know our pid and write that of the container's first process (podman does).
FIRST_PROCESS = "1"


def activation() -> tuple[int, list[str]]:
    """(how many descriptors from 3 on are sockets for the container, variables that tell it so).

    As in runc and crun they come before those of --preserve-fds. A LISTEN_PID that is another
    process's was inherited and is none of ours; without one they are meant, as for crun. Raises
    ``UsageError`` where a descriptor is not open.
    """
    text = os.getenv("LISTEN_FDS") or ""
    if not (text.isascii() and text.isdecimal()) or not int(text):
        return 0, []
    if os.getenv("LISTEN_PID") not in (None, "", str(os.getpid()), FIRST_PROCESS):
        return 0, []
    count = int(text)
    check_preserved(count, f"LISTEN_FDS={count}")
    told = [f"LISTEN_FDS={count}", f"LISTEN_PID={FIRST_PROCESS}"]
    names = os.getenv("LISTEN_FDNAMES")
    if names is not None:
        told.append(f"LISTEN_FDNAMES={names}")
    return count, told
