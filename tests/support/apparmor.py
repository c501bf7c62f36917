"""AppArmor on the host of the tests."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENABLED = Path("/sys/module/apparmor/parameters/enabled")
APPARMOR = ENABLED.exists() and ENABLED.read_text().startswith("Y")

PROFILE = """
profile {name} flags=(attach_disconnected) {{
    file, capability, network, mount, umount, signal, ptrace, pivot_root,
    deny /tmp/denied w,
}}
"""


@contextmanager
def loaded(name: str) -> Iterator[str]:
    """A profile called ``name``, which lets everything pass but writing to /tmp/denied."""
    text = PROFILE.format(name=name).encode()
    subprocess.run(["apparmor_parser", "--replace"], input=text, check=True)
    yield name
    subprocess.run(["apparmor_parser", "--remove"], input=text, check=True)
