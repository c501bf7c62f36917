"""The rules for documents: schemas, semantic rules, and what they say about a config.json.

``load`` and its siblings are what commands call.  On the hot path they run the generated check of
the schema (config_check) and the semantic rules; only for a bad document all the rest is imported.

All take ``raw``, the text that ``document`` was parsed from, and ``source``, its name in errors.
They return the warnings, one line each, and raise InvalidDocumentError, a SpecError: one line about
the first fault, all of them in its ``report``.
"""

from __future__ import annotations

from ociruntime.spec.checks import BAD, UNKNOWN
from ociruntime.spec.config_check import CONFIG, PROCESS, RESOURCES
from ociruntime.spec.fault import ERROR, WARNING
from ociruntime.spec.semantic import check, check_limits, check_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.spec.checks import Check
    from ociruntime.spec.fault import Fault

    Rules = Callable[[Any], list[Fault]]


def load(raw: bytes, document: Any, *, source: str) -> list[str]:
    """Check a config.json."""
    return _load(raw, document, source, "config", CONFIG, check)


def load_process(raw: bytes, document: Any, *, source: str) -> list[str]:
    """Check the ``process`` object of `exec --process FILE`."""
    return _load(raw, document, source, "process", PROCESS, check_process)


def load_resources(raw: bytes, document: Any, *, source: str) -> list[str]:
    """Check the ``linux.resources`` object of `update --resources FILE`."""
    return _load(raw, document, source, "resources", RESOURCES, check_limits)


def _load(
    raw: bytes, document: dict[str, Any], source: str, kind: str, schema: Check, rules: Rules
) -> list[str]:
    state = schema(document)
    faults = rules(document) if state < BAD else []
    if state >= BAD or any(fault.level == ERROR for fault in faults):
        from ociruntime.spec.explain import explain
        from ociruntime.spec.report import InvalidDocumentError

        raise InvalidDocumentError(explain(raw, source, kind))
    if state & UNKNOWN:
        from ociruntime.spec.explain import unknown_keys

        faults += unknown_keys(document, kind)
    return [f"{source}: {fault}" for fault in faults if fault.level == WARNING]
