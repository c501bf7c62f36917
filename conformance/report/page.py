"""The matrix as one self-contained HTML page: nothing is fetched, reasons show on hover.

Style and script are `page.css` and `page.js` beside this file; without the script everything is
still there to read, only not to filter.
"""

from __future__ import annotations

from html import escape
from itertools import groupby
from pathlib import Path

from conformance import SPEC_VERSION
from conformance.report.matrix import (
    MISSING,
    UNTESTED,
    Row,
    kind,
    made_by,
    name,
    rows,
    sums,
    totals,
)
from conformance.runner import BROKEN, DEVIATES, FAIL, PASS, SKIP, Run
from conformance.sentences import LEVELS

SIGNS = {PASS: "✓", FAIL: "✗", SKIP: "–", DEVIATES: "≈", BROKEN: "!", UNTESTED: "", MISSING: "?"}
WORDS = {
    PASS: "holds", FAIL: "does not hold", SKIP: "skipped: the machine cannot show it",
    DEVIATES: "deviates: contested, the reason says why", BROKEN: "the test is at fault",
    UNTESTED: "no test", MISSING: "not in this report",
}  # fmt: skip


def matrix(runs: list[Run]) -> str:
    """Return the page."""
    table = rows(runs)
    heads = "".join(_head(run) for run in runs)
    sections = [list(group) for _, group in groupby(table, key=lambda row: row.sentence.section)]
    body = "\n".join(_section(group, len(runs)) for group in sections)
    legend = " ".join(
        f'<span><i class="o {outcome}">{SIGNS[outcome]}</i> {WORDS[outcome]}</span>'
        for outcome in (PASS, FAIL, DEVIATES, SKIP)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>OCI runtime conformance</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
{_file("page.css")}</style></head>
<body><h1>OCI runtime conformance</h1>
<p>What runtimes do of what runtime-spec {SPEC_VERSION} asks, sentence by sentence, found by running
them. A cell's reason shows on hover: what was done, and what was seen. Headings lead to the
specification.</p>
{_sums(runs, table)}
<p class="legend">{legend}
<span><i class="o fail SHOULD">✗</i> a SHOULD that does not hold</span></p>
{_filters(runs, sections)}
<table class="matrix"><thead><tr><th>sentence</th>{heads}</tr></thead>
{body}
</table><div id="reason" aria-live="polite"></div>
<script>
{_file("page.js")}</script></body></html>
"""


def _file(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _title(run: Run) -> str:
    return f"{name(run)}, cgroup {kind(run)}"


def _head(run: Run) -> str:
    program, _, version = name(run).partition(" ")
    small = f"{version}<br>cgroup {escape(kind(run))}"
    return f'<th class="r" title="{escape(_title(run))}">{escape(program)}<span>{small}</span></th>'


def _sums(runs: list[Run], table: list[Row]) -> str:
    """Return the table of runs: versions, machine, sums by level."""
    heads = "".join(f'<th class="n">{level}</th>' for level in (*LEVELS, "all"))
    heads += '<th class="n">deviates</th><th class="n">skipped</th>'
    heads += '<th class="n">missing</th>'
    lines = []
    for column, run in enumerate(runs):
        cells, count = sums(table, column), totals(table, column)
        bar = "".join(
            f'<i class="{outcome}" style="flex:{count[outcome]}" '
            f'title="{count[outcome]} {WORDS[outcome]}"></i>'
            for outcome in (PASS, DEVIATES, FAIL, BROKEN, SKIP)
            if count[outcome]
        )
        host = run.host
        where = f"{host['system']}, Linux {host['kernel']} {host['architecture']}"
        used = f"cgroup {host['cgroups']}, ociVersion {host['ociVersion']} in config.json"
        used += f", by {made_by(run)} of the suite" if made_by(run) != "this" else ""
        tds = "".join(f'<td class="n">{cell}</td>' for cell in cells)
        lines.append(
            f'<tr><td class="n"><b>{escape(run.version)}</b></td>'
            f'<td><div class="bar">{bar}</div></td>{tds}'
            f'<td class="where soft">{escape(where)}<br>{escape(used)}</td></tr>'
        )
    return (
        f'<table class="sums"><thead><tr><th>runtime</th><th></th>{heads}'
        f'<th class="where">on</th></tr></thead><tbody>{"".join(lines)}</tbody></table>'
    )


def _filters(runs: list[Run], sections: list[list[Row]]) -> str:
    """Return the form by which the script shows part of the table."""
    pages = []
    for page, group in groupby(
        (members[0].sentence for members in sections),
        key=lambda sentence: sentence.section.partition("#")[0],
    ):
        options = "".join(
            f'<option value="{escape(sentence.section)}">{escape(sentence.title)}</option>'
            for sentence in group
        )
        pages.append(
            f'<optgroup label="{page}"><option value="{page}#">all of {page}</option>{options}'
            "</optgroup>"
        )
    levels = "".join(f"<option>{level}</option>" for level in LEVELS)
    verdicts = "".join(
        f'<option value="{outcome}">{WORDS[outcome].partition(":")[0]}</option>'
        for outcome in (FAIL, DEVIATES, SKIP, PASS, UNTESTED, MISSING)
    )
    columns = "".join(
        f'<option value="{number}">{escape(_title(run))}</option>'
        for number, run in enumerate(runs)
    )
    return f"""<form id="filters">
<label>Section <select id="section"><option value="">all</option>{"".join(pages)}</select></label>
<label>Level <select id="level"><option value="">all</option>{levels}</select></label>
<label>Verdict <select id="verdict"><option value="">all</option>
<option value="differ">runtimes differ</option>{verdicts}</select></label>
<label>of <select id="runtime"><option value="">any runtime</option>{columns}</select></label>
<label>Words <input id="words" type="search" size="14"></label>
<button type="reset">Everything</button><output id="shown"></output></form>"""


def _section(group: list[Row], columns: int) -> str:
    """Return the rows of a section, below one with its sums."""
    first = group[0].sentence
    page = first.section.partition("#")[0]
    cells = []
    for column in range(columns):
        count = totals(group, column)
        judged = count[PASS] + count[FAIL] + count[BROKEN]
        bad = ' class="bad"' if count[PASS] < judged else ""
        cells.append(f"<td{bad}>{f'{count[PASS]}/{judged}' if judged else '–'}</td>")
    head = (
        f'<tbody data-section="{escape(first.section)}"><tr class="section"><th>'
        f'<a href="{escape(first.url)}">{escape(first.title)}</a> '
        f'<span class="id">{escape(page)}</span></th>{"".join(cells)}</tr>'
    )
    return "\n".join([head, *(_row(row) for row in group), "</tbody>"])


def _row(row: Row) -> str:
    sentence = row.sentence
    did = " ".join(dict.fromkeys(cell.did for cell in row.cells if cell.did))
    cells = "".join(
        f'<td class="o {cell.outcome} {sentence.level}" '
        f'title="{escape(f"{WORDS[cell.outcome]}: {cell.saw}")}">{SIGNS[cell.outcome]}</td>'
        for cell in row.cells
    )
    return (
        f'<tr data-level="{sentence.level}" data-did="{escape(did)}"><td>{escape(sentence.text)} '
        f'<span class="level">{sentence.level}</span> '
        f'<span class="id">{escape(sentence.id)}</span></td>{cells}</tr>'
    )
