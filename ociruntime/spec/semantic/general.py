"""Rules of config.md about the document as a whole (hot path)."""

from __future__ import annotations

from ociruntime.spec.fault import NOTE, WARNING, Fault
from ociruntime.spec.tables import OCI_VERSION_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ociruntime.spec.fault import Facts

_VERSION = "config.md#specification-version"
_PLATFORMS = ("windows", "solaris", "vm", "zos", "freebsd")


def version(facts: Facts) -> list[Fault]:
    """1.0.0 and later are understood; a later minor version may have properties that we ignore."""
    text = facts.document["ociVersion"]
    major, minor = text.split(".")[:2]
    newest_minor = int(OCI_VERSION_MAX.split(".")[1])
    if major != "1":
        return [
            Fault(
                "/ociVersion",
                text,
                f"version {text} of the specification is not supported",
                f"{_VERSION}: a runtime says what it supports, here 1.0.0 to {OCI_VERSION_MAX}",
                f'write "{OCI_VERSION_MAX}", or use a runtime for that version',
            )
        ]
    if int(minor) > newest_minor:
        return [
            Fault(
                "/ociVersion",
                text,
                f"version {text} of the specification is newer than this runtime",
                f"{_VERSION}: minor versions add properties, and unknown properties are ignored",
                f"stay with the properties of {OCI_VERSION_MAX}",
                WARNING,
            )
        ]
    return []


def platforms(facts: Facts) -> list[Fault]:
    """Parts for other platforms are ignored, and that is said."""
    faults = [
        Fault(
            f"/{name}",
            facts.document.get(name),
            f"{name} is for another platform and is ignored",
            "config.md#platform-specific-configuration: the part of the running platform counts",
            "remove it",
            WARNING,
        )
        for name in _PLATFORMS
        if name in facts.document
    ]
    user = facts.process.get("user", {})
    for pointer, value, section, cure in (
        ("/process/commandLine", facts.process.get("commandLine"), "process", "use args"),
        ("/process/user/username", user.get("username"), "windows-user", "use uid and gid"),
    ):
        if value is not None:
            said = f"{pointer.rpartition('/')[2]} is for Windows and is ignored"
            faults.append(Fault(pointer, value, said, f"config.md#{section}", cure, WARNING))
    return faults


def hooks(facts: Facts) -> list[Fault]:
    """The kind prestart works, but its successors are clearer about the namespaces they run in."""
    if not facts.document.get("hooks", {}).get("prestart"):
        return []
    return [
        Fault(
            "/hooks/prestart",
            None,
            "prestart hooks are deprecated",
            "config.md#prestart: use createRuntime, createContainer or startContainer instead",
            "rename it to createRuntime, which runs at the same time in the same namespaces",
            NOTE,
        )
    ]
