"""The suite itself: catalogue and tests fit, verdicts and reports are right, nothing of ours."""

from __future__ import annotations

import ast
import json
import re
import signal
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from conformance import registry, report
from conformance.mounts import by_point
from conformance.report.matrix import MISSING, UNTESTED, rows, totals
from conformance.runner import (
    DEVIATES,
    FAIL,
    PASS,
    SKIP,
    Finding,
    Run,
    judge,
    shorten,
    uninterrupted,
)
from conformance.schema import schema_faults
from conformance.sentences import CatalogueError, catalogue, parse
from conformance.trial import Verdict

FOLDER = Path(registry.__file__).parent
HOST = {
    "system": "S",
    "kernel": "K",
    "architecture": "x86_64",
    "cgroups": "v1",
    "ociVersion": "1.3.0",
}


def sample() -> Run:
    findings = [
        Finding("state.id", "state.a", PASS, "Did.", "saw <it>", 0.1),
        Finding("state.status", "state.a", FAIL, "Did.", 'saw "that" | so', 0.1),
        Finding("state.status", "state.b", PASS, "Did.", "fine", 0.1),
        Finding("delete.created", "state.b", DEVIATES, "Did.", "gone", 0.1),
        Finding("rdma.limit", "state.c", SKIP, "Did.", "no rdma", 0.1),
    ]
    return Run("/bin/runtime", "runtime version 1.2", HOST, findings, 1.5)


def test_every_sentence_has_a_test_or_a_reason() -> None:
    assert registry.faults() == []
    assert len(catalogue()) > 450


def test_faults_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tuple(entry for entry in registry.all_checks() if "user.uid" not in entry.sentences)
    monkeypatch.setattr(registry, "all_checks", lambda: kept)
    assert "user.uid: neither a test nor a reason for none" in registry.faults()


@pytest.mark.parametrize("line", ["no bars", "a | NEVER | words", "  because: why"])
def test_bad_catalogue(line: str) -> None:
    with pytest.raises(CatalogueError, match="file:3"):
        parse(f"## page.md#place Place\na | MUST | words\n{line}\n", "file")


def test_nothing_of_ours_is_imported() -> None:
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] in {"ociruntime", "tests"} for name in names), path


def test_selection() -> None:
    assert {entry.name for entry in registry.select(["kill.*"])} >= {
        "operations.kill_sends_signals"
    }
    assert registry.select(["config-linux.md#sysctl"])
    with pytest.raises(LookupError):
        registry.select(["nosuch"])


def test_judging() -> None:
    good, bad = Verdict(seen=["fine"]), Verdict(faults=["bad"], seen=["fine"])
    found = judge({"state.id": good, "state.pid": bad}, ["state.id", "state.pid"], "", "", "")
    assert [outcome for _, outcome, _ in found] == [PASS, FAIL]
    found = judge({}, ["state.id"], "", "create: refused", "")
    assert found == [("state.id", FAIL, "create: refused")]
    assert judge({}, ["state.id"], "no such thing", "", "")[0][1] == SKIP
    assert judge({}, ["state.id"], "", "", "")[0][1] == "broken"
    assert judge({"delete.created": bad}, ["delete.created"], "", "", "")[0][1] == DEVIATES
    assert judge({}, ["delete.created"], "", "create: refused", "")[0][1] == DEVIATES
    # What was judged before the test ended early stays.
    assert judge({"state.pid": bad}, ["state.pid"], "skipped", "", "")[0][1] == FAIL
    assert judge({"state.id": good}, ["state.id"], "", "later: failed", "")[0][1] == FAIL
    # Who was not judged takes the blame for what failed.
    found = judge({"state.id": good}, ["state.id", "state.pid"], "", "later: failed", "")
    assert [outcome for _, outcome, _ in found] == [PASS, FAIL]


def test_cleaning_up_is_not_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with uninterrupted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
    assert capsys.readouterr().err == "conformance: the tests that run clean up first\n" * 2
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_state_documents() -> None:
    """What state-schema.json asks, and no more: ociVersion is any string there."""
    state = {"ociVersion": "1.0", "id": "x", "status": "running", "pid": 5, "bundle": "/b"}
    assert schema_faults({**state, "annotations": {"a": ""}}) == []
    for name, value in (
        ("ociVersion", 1),
        ("id", None),
        ("status", "starting"),
        ("pid", -1),
        ("pid", "5"),
        ("pid", True),
        ("bundle", []),
        ("annotations", {"a": 1}),
        ("annotations", []),
    ):
        assert len(schema_faults({**state, name: value})) == 1
    for name in ("ociVersion", "id", "bundle"):
        assert schema_faults({key: state[key] for key in state if key != name}) == [
            f"{name} is missing"
        ]


def test_names_of_a_run_are_left_out() -> None:
    assert shorten("oci-conf-1-2-3: a\nb", "oci-conf-1-2") == "ID: a b"


def test_mount_tables() -> None:
    line = "36 35 98:0 /sub /m ro,noatime shared:4 master:1 - tmpfs src rw,size=4k"
    mount = by_point(line)["/m"]
    assert mount.flags == {"ro", "noatime", "rw", "size=4k"}
    assert mount.propagation == "shared,slave"


def test_reports_of_one_run() -> None:
    run = sample()
    assert not run.passed
    text = report.FORMATS["text"](run)
    assert "FAIL state.status" in text
    tap = report.FORMATS["tap"](run).splitlines()
    assert tap[1] == "1..5"
    assert [line.split(" - ")[0] for line in tap if " - " in line][1] == "not ok 2"
    suite = ET.fromstring(report.FORMATS["junit"](run))
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "2")
    assert Run.from_data(json.loads(report.FORMATS["json"](run))) == run
    page = report.FORMATS["html"](run)
    assert "saw &quot;that&quot; | so" in page
    assert "http" not in page.replace("https://github.com/opencontainers", "")


class Page(HTMLParser):
    """Proves that elements nest, and collects names, ids and the cells of the matrix."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: set[str] = set()
        self.ids: set[str] = set()
        self.cells: list[tuple[str, str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.names.add(tag)
        self.ids.add(found.get("id") or "")
        if tag not in {"meta", "br", "input"}:
            self.open.append(tag)
        if tag == "td" and (found.get("class") or "").startswith("o "):
            self.cells.append((str(found["class"]).split()[1], str(found["title"])))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole() -> None:
    text = report.matrix([sample(), sample()])
    page = Page(text)
    assert page.open == []
    assert not page.names & {"link", "img", "iframe"}
    assert "url(" not in text.lower()
    assert "@import" not in text
    assert len(page.cells) == 2 * len(catalogue())
    assert (FAIL, 'does not hold: saw "that" | so') in page.cells
    # Everything that the script looks for is there.
    script = (FOLDER / "report" / "page.js").read_text()
    assert set(re.findall(r"\$\('(\w+)'\)", script)) <= page.ids


def test_tap_is_valid() -> None:
    lines = report.FORMATS["tap"](sample()).splitlines()
    assert lines[0] == "TAP version 13"
    points = [line for line in lines if line.startswith(("ok ", "not ok "))]
    assert [int(line.removeprefix("not ").split()[1]) for line in points] == [1, 2, 3, 4, 5]
    assert points[4].endswith("# SKIP no rdma")
    assert "# TODO " in points[3]
    blocks = "\n".join(lines[2:]).split("  ---\n")[1:]
    for block in blocks:
        body, end, _ = block.partition("\n  ...")
        assert end
        fields = dict(line.strip().split(": ", 1) for line in body.splitlines())
        assert {key: type(json.loads(value)) for key, value in fields.items()} == {
            "level": str, "section": str, "sentence": str, "did": str, "saw": str,
            "seconds": float,
        }  # fmt: skip


def test_control_characters_do_not_break_reports() -> None:
    run = sample()
    saw = shorten("a\x00\x1b[31m\u2028\ud800 ]]> --> </script> b", "none")
    run.findings[1] = replace(run.findings[1], saw=saw)
    for name, write in report.FORMATS.items():
        text = write(run)
        text.encode()
        if name == "junit":
            ET.fromstring(text)
        elif name == "html":
            assert Page(text).open == []


def test_matrix() -> None:
    table = rows([sample(), sample()])
    by_id = {row.sentence.id: row.cells[0].outcome for row in table}
    assert by_id["state.status"] == FAIL  # the worse of two findings
    assert by_id["start.runs"] == MISSING
    assert totals(table, 1)[FAIL] == 1
    page = report.matrix_markdown([sample()])
    assert 'saw "that" \\| so' in page
    assert "| **runtime 1.2 (v1)** | 1 of 2 |" in page


def test_machines_of_other_architectures_are_told_apart() -> None:
    runs = [sample(), sample()]
    runs[1].host = HOST | {"architecture": "aarch64"}
    page, html = report.matrix_markdown(runs), report.matrix(runs)
    assert "| section | runtime 1.2 (v1) | runtime 1.2 (v1, aarch64) |" in page
    assert "runtime 1.2, cgroup v1, aarch64</option>" in html


def test_report_of_another_version() -> None:
    """What it does not know is told apart from what has no test, and what it knew is left out."""
    old, new = sample(), sample()
    old.findings.append(Finding("no.such", "state.c", FAIL, "Did.", "saw", 0.1))
    new.suite = registry.fingerprint()
    table = rows([old, new])
    cells = {row.sentence.id: [cell.outcome for cell in row.cells] for row in table}
    assert cells["start.runs"] == [MISSING, MISSING]
    assert cells["rdt.write-order"] == [UNTESTED, UNTESTED]
    assert "no.such" not in cells
    text, html = report.matrix_markdown([old, new]), report.matrix([old, new])
    lines = [line for line in text.splitlines() if line.startswith("| runtime v")]
    assert [line.split(" | ")[-2] for line in lines] == ["another version", "this"]
    assert html.count("by another version of the suite") == 1
    assert Page(html).open == []
