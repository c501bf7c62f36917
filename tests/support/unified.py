"""The runtime on a host that has nothing but the unified hierarchy at /sys/fs/cgroup.

On a host that is not like this, every command runs in a mount namespace of its own that has a
cgroup2 mount there: it sees pure cgroup v2, though perhaps without controllers, which v1 may hold.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.runtime import Runtime

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

SCRIPT = """#!/bin/sh
exec unshare --mount --propagation private sh -c '
    umount --lazy /sys/fs/cgroup
    mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$0" "$@"
' {binary} "$@"
"""


def unified_runtime(binary: Path, sandbox: Sandbox) -> Runtime:
    """``binary`` with a private --root, as on a host with cgroup v2 alone."""
    script = sandbox.directory / "ociruntime-unified"
    script.write_text(SCRIPT.format(binary=shlex.quote(str(binary))))
    script.chmod(0o755)
    return Runtime(script, sandbox)
