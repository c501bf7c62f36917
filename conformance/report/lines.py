"""One run for people in a terminal and for programs: text, TAP 13, JUnit XML, JSON."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter

from conformance.runner import BROKEN, DEVIATES, FAIL, OUTCOMES, PASS, SKIP, Finding, Run
from conformance.sentences import catalogue


def summary(run: Run) -> str:
    """Return how many findings of each kind there are, in words."""
    counts = [f"{run.count(outcome)} {outcome}" for outcome in OUTCOMES if run.count(outcome)]
    return ", ".join(counts) or "nothing was judged"


def text(run: Run) -> str:
    """Return what does not hold and why, what was skipped and why, and the sums."""
    lines = [f"{run.runtime}: {run.version}", ", ".join(run.host.values())]
    for outcome in (BROKEN, FAIL, DEVIATES):
        for finding in run.findings:
            if finding.outcome == outcome:
                sentence = catalogue()[finding.sentence]
                lines += [
                    f"\n{outcome.upper()} {sentence.id} ({sentence.level}, {sentence.section})",
                    f"  asks: {sentence.text}",
                    f"  did:  {finding.did} [{finding.test}]",
                    f"  saw:  {finding.saw}",
                ]
    reasons = Counter(finding.saw for finding in run.findings if finding.outcome == SKIP)
    if reasons:
        lines.append("\nSkipped:")
        lines += [f"  {count:4}  {reason}" for reason, count in reasons.most_common()]
    lines.append(f"\n{summary(run)} in {run.seconds:.1f} s")
    return "\n".join(lines) + "\n"


def tap(run: Run) -> str:
    """Return TAP version 13, a line for each sentence that a test judged."""
    lines = ["TAP version 13", f"1..{len(run.findings)}"]
    for number, finding in enumerate(run.findings, 1):
        sentence = catalogue()[finding.sentence]
        word = "not ok" if finding.outcome in {FAIL, BROKEN, DEVIATES} else "ok"
        line = f"{word} {number} - {sentence.id} ({finding.test})"
        if finding.outcome == SKIP:
            line += f" # SKIP {finding.saw}"
        elif finding.outcome == DEVIATES:
            line += f" # TODO {sentence.contested}"
        lines.append(line)
        lines += _yaml(finding)
    return "\n".join(lines) + "\n"


def _yaml(finding: Finding) -> list[str]:
    sentence = catalogue()[finding.sentence]
    rows = {
        "level": sentence.level,
        "section": sentence.section,
        "sentence": sentence.text,
        "did": finding.did,
        "saw": finding.saw,
        "seconds": finding.seconds,
    }
    pairs = [f"  {key}: {json.dumps(value)}" for key, value in rows.items()]
    return ["  ---", *pairs, "  ..."]


def junit(run: Run) -> str:
    """Return JUnit XML: a test case for each finding, in a class for each section."""
    suite = ET.Element(
        "testsuite",
        name=f"OCI conformance of {run.runtime}",
        tests=str(len(run.findings)),
        failures=str(run.count(FAIL)),
        errors=str(run.count(BROKEN)),
        skipped=str(run.count(SKIP) + run.count(DEVIATES)),
        time=str(run.seconds),
    )
    names = {FAIL: "failure", BROKEN: "error", SKIP: "skipped", DEVIATES: "skipped"}
    for finding in run.findings:
        sentence = catalogue()[finding.sentence]
        case = ET.SubElement(
            suite,
            "testcase",
            classname=sentence.section.replace(".", "_"),
            name=f"{sentence.id}: {finding.test}",
            time=str(finding.seconds),
        )
        if finding.outcome == PASS:
            ET.SubElement(case, "system-out").text = _printable(finding.saw)
        else:
            element = ET.SubElement(case, names[finding.outcome])
            element.set("message", _printable(finding.saw))
            element.text = f"{sentence.level}: {sentence.text}\n{finding.did}"
    ET.indent(suite)
    return ET.tostring(suite, encoding="unicode") + "\n"


def _printable(words: str) -> str:
    """Replace what XML cannot hold."""
    return "".join(char if char.isprintable() else "?" for char in words)


def json_lines(run: Run) -> str:
    """Return the run as JSON, from which a matrix can be made."""
    return json.dumps(run.to_data(), indent=1) + "\n"
