"""Reports for people, for programs, for code scanning (SARIF 2.1.0) and for GitHub's workflows."""

from __future__ import annotations

import os
from urllib.parse import quote

from ociruntime import __version__
from ociruntime.jsontext import dumps
from ociruntime.spec.fault import ERROR, NOTE, WARNING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ociruntime.spec.fault import Fault
    from ociruntime.spec.report import DocumentReport

SARIF_VERSION = "2.1.0"
SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
# Where a rule is named by its section of the specification, that can be read.
SPECIFICATION = "https://github.com/opencontainers/runtime-spec/blob/v1.3.0/"
NO_RULE = "json"
# fault.LEVEL -> the command of a workflow.
GITHUB = {ERROR: "error", WARNING: "warning", NOTE: "notice"}


def text(reports: list[DocumentReport], *, alone: bool) -> str:
    """Each report, and how many there were."""
    parts = [report.text() for report in reports]
    if not alone:
        bad = sum(not report.valid for report in reports)
        plural = "" if len(reports) == 1 else "s"
        parts.append(f"{len(reports)} document{plural}, {bad} invalid\n")
    return "".join(parts)


def json(reports: list[DocumentReport], *, alone: bool) -> str:
    """One object where one document was named, else an array of them."""
    found = [report.as_dict() for report in reports]
    return dumps(found[0] if alone else found) + "\n"


def github(reports: list[DocumentReport], *, alone: bool) -> str:
    """Workflow commands, which GitHub shows beside the lines that they are about; then the text's
    summary.
    """
    del alone
    lines = []
    for report in reports:
        for fault, line, column in report.placed:
            place = f"file={_property(report.source)},line={line},col={column}"
            title = f"title={_property(fault.pointer or '/')}"
            said = _data(f"{fault.message}; {fault.cure} ({fault.rule})")
            lines.append(f"::{GITHUB[fault.level]} {place},{title}::{said}")
        lines.append(_data(report.summary()))
    return "".join(line + "\n" for line in lines)


def sarif(reports: list[DocumentReport], *, alone: bool) -> str:
    """One run with all faults; a rule is a section of the specification."""
    del alone
    placed = [(report, *entry) for report in reports for entry in report.placed]
    rules = {_rule_id(fault): _rule(fault) for _, fault, _, _ in placed}
    order = list(rules)
    results = [
        {
            "ruleId": _rule_id(fault),
            "ruleIndex": order.index(_rule_id(fault)),
            "level": fault.level,
            "message": {"text": f"{fault.pointer or '/'}: {fault.message}; {fault.cure}"},
            "locations": [_location(report.source, fault, line, column)],
        }
        for report, fault, line, column in placed
    ]
    driver = {"name": "ociruntime", "version": __version__, "rules": list(rules.values())}
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    document = {"$schema": SARIF_SCHEMA, "version": SARIF_VERSION, "runs": [run]}
    return dumps(document, 2) + "\n"


FORMATS: dict[str, Callable[..., str]] = {
    "text": text,
    "json": json,
    "sarif": sarif,
    "github": github,
}


def _rule_id(fault: Fault) -> str:
    """``config.md#process``; faults of the text have no section."""
    section = fault.rule.partition(":")[0]
    return section if "#" in section else NO_RULE


def _rule(fault: Fault) -> dict[str, Any]:
    name = _rule_id(fault)
    rule: dict[str, Any] = {"id": name, "shortDescription": {"text": fault.rule or name}}
    if name != NO_RULE:
        rule["helpUri"] = SPECIFICATION + name
    return rule


def _location(source: str, fault: Fault, line: int, column: int) -> dict[str, Any]:
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(os.fsencode(source))},
            "region": {"startLine": line, "startColumn": column},
        },
        "logicalLocations": [{"fullyQualifiedName": fault.pointer or "/", "kind": "member"}],
    }


def _data(text_: str) -> str:
    """The message of a workflow command."""
    return text_.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text_: str) -> str:
    """The value of a property of a workflow command."""
    return _data(text_).replace(":", "%3A").replace(",", "%2C")
