"""The state document: what the specification's JSON Schema for it asks (state-schema.json)."""

from __future__ import annotations

import re
from typing import Any

SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
)
STATUSES = ("creating", "created", "running", "stopped")


def schema_faults(state: dict[str, Any]) -> list[str]:
    """Return in what a state differs from the specification's schema for it."""
    faults = [f"{name} is missing" for name in ("ociVersion", "id", "status", "bundle")
              if name not in state]  # fmt: skip
    faults += [
        f"{name} is no string: {state[name]!r}"
        for name in ("ociVersion", "id", "status", "bundle")
        if name in state and not isinstance(state[name], str)
    ]
    if state.get("status") not in STATUSES:
        faults.append(f"status is {state.get('status')!r}")
    pid = state.get("pid", 0)
    if not isinstance(pid, int) or isinstance(pid, bool) or pid < 0:
        faults.append(f"pid is {pid!r}")
    notes = state.get("annotations", {})
    if not isinstance(notes, dict) or not all(isinstance(value, str) for value in notes.values()):
        faults.append(f"annotations are {notes!r}")
    return faults
