"""doctor: what of this host the runtime can use, what it cannot, and the command that cures it.

Each check looks at one subject and answers with findings; none changes anything that outlives it.
docs/troubleshooting.md has a section for each.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict, dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OK, WARNING, FAILED, ABSENT = "ok", "warning", "failed", "absent"


@dataclass
class Finding:
    """What was found out about one thing.

    subject  the section of docs/troubleshooting.md
    outcome  ``ok``; ``absent`` is something that nobody needs who does not use it; ``warning``:
             something works less well; ``failed``: containers cannot be made
    message  what is there, or what is missing and what does not work without it
    cure     one command, empty where nothing is to be done
    """

    subject: str
    outcome: str
    message: str
    cure: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The finding for JSON."""
        return asdict(self)


class Machine:
    """What checks ask of the host; tests have one below another directory.

    euid      who asks
    rootless  whether containers are to be made without rights
    """

    def __init__(self, root: str = "", euid: int | None = None, *, rootless: bool = False) -> None:
        self.root = root
        self.euid = os.geteuid() if euid is None else euid
        self.rootless = rootless or self.euid != 0

    def read(self, path: str) -> str:
        """A small file's text, "" if it cannot be read."""
        try:
            with open(self.root + path, encoding="utf-8", errors="replace") as file:
                return file.read().strip()
        except OSError:
            return ""

    def exists(self, path: str) -> bool:
        """Whether something is there."""
        return os.path.lexists(self.root + path)

    def names(self, path: str) -> list[str]:
        """The names in a directory, [] if it cannot be read."""
        try:
            return sorted(os.listdir(self.root + path))
        except OSError:
            return []

    def program(self, name: str) -> str:
        """Where a program is, "" for nowhere."""
        places = os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin"
        if self.root:
            places = ":".join(self.root + place for place in ("/usr/bin", "/bin", "/usr/sbin"))
        return (shutil.which(name, path=places) or "").removeprefix(self.root)
