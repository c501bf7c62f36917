"""Reports: one run as text, TAP, JUnit, JSON or a page; several runs as a matrix."""

from __future__ import annotations

from collections.abc import Callable

from conformance.report.lines import json_lines, junit, tap, text
from conformance.report.markdown import matrix_markdown
from conformance.report.page import matrix
from conformance.runner import Run


def page(run: Run) -> str:
    """Return a self-contained page about one run."""
    return matrix([run])


FORMATS: dict[str, Callable[[Run], str]] = {
    "html": page,
    "json": json_lines,
    "junit": junit,
    "tap": tap,
    "text": text,
}

__all__ = ["FORMATS", "matrix", "matrix_markdown"]
