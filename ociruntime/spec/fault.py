"""One broken rule, and the facts of a document that many rules need (hot path)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ociruntime.spec.documents import Config, IDMappingConfig, LinuxConfig, ProcessConfig

ERROR = "error"
WARNING = "warning"
# What `validate` tells and `create` does not: nothing is left out because of it.
NOTE = "note"


class Fault:
    """A rule that a document breaks.

    pointer: JSON pointer (RFC 6901) of the value; of the missing one when a property is missing
    value: the value as JSON data, None when it is missing
    message: what is wrong, without pointer and value
    rule: file and section of the specification, and what it demands
    cure: what to do about it
    level: "error", the document is refused; "warning", the value is ignored
    """

    __slots__ = ("cure", "level", "message", "pointer", "rule", "value")

    def __init__(
        self, pointer: str, value: Any, message: str, rule: str, cure: str, level: str = ERROR
    ) -> None:
        self.pointer = pointer
        self.value = value
        self.message = message
        self.rule = rule
        self.cure = cure
        self.level = level

    def __str__(self) -> str:
        return f"{self.pointer or '/'}: {self.message}; {self.cure}"

    def __repr__(self) -> str:
        return f"<{self.level} {self.pointer}: {self.message}>"


class Facts:
    """What a document that passes the schema says about the things most rules ask for.

    document: the whole document; linux, process: its parts, empty when absent
    namespaces: type -> path of the namespace to join, "" for a new one
    uid_mappings, gid_mappings: the container's id mappings
    """

    __slots__ = ("document", "gid_mappings", "linux", "namespaces", "process", "uid_mappings")

    def __init__(self, document: Config) -> None:
        self.document = document
        self.linux: LinuxConfig = document.get("linux", {})
        self.process: ProcessConfig = document.get("process", {})
        self.namespaces: dict[str, str] = {}
        for entry in self.linux.get("namespaces", ()):
            self.namespaces.setdefault(entry["type"], entry.get("path", ""))
        self.uid_mappings = self.linux.get("uidMappings", [])
        self.gid_mappings = self.linux.get("gidMappings", [])

    @property
    def new_user_namespace(self) -> bool:
        """True if the container gets a user namespace of its own: its mappings are known."""
        return self.namespaces.get("user") == ""


def is_mapped(mappings: list[IDMappingConfig], number: int) -> bool:
    """True if the id ``number`` of the container is inside ``mappings``."""
    for entry in mappings:
        if entry["containerID"] <= number < entry["containerID"] + entry["size"]:
            return True
    return False


def is_decimal(text: str) -> bool:
    """True for one or more ASCII digits (str.isdecimal takes those of all scripts)."""
    return text.isascii() and text.isdecimal()


def is_kernel_list(text: str) -> bool:
    """True for a list of CPUs or memory nodes in any form that the kernel takes
    (Documentation/admin-guide/kernel-parameters.rst): ``0-3,7``, ``all`` in any case, ``0-N``,
    ``0-7:2/4``, ``all:1/2``.
    """
    for part in text.replace(",", " ").split():
        span, colon, groups = part.partition(":")
        low, hyphen, high = span.partition("-")
        used, slash, size = groups.partition("/")
        if span.lower() == "all":
            low, hyphen, high = "0", "-", "N"
        if any(not is_decimal(word) and word != "N" for word in ([low, high] if hyphen else [low])):
            return False
        if hyphen and is_decimal(low) and is_decimal(high) and int(low) > int(high):
            return False
        if colon and not (hyphen and slash and is_decimal(used) and is_decimal(size)):
            return False
        if colon and not 0 < int(used) <= int(size):
            return False
    return True


def is_number_list(text: str) -> bool:
    """True for a list of CPUs or memory nodes such as "0-3, 7": numbers and rising ranges."""
    for part in text.split(","):
        low, hyphen, high = part.partition("-")
        low, high = low.strip(), high.strip()
        if not is_decimal(low) or (hyphen and not is_decimal(high)):
            return False
        if hyphen and int(low) > int(high):
            return False
    return True
