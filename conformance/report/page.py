"""The matrix as one self-contained HTML page: nothing is fetched, reasons show on hover."""

from __future__ import annotations

from html import escape
from itertools import groupby

from conformance import SPEC_VERSION
from conformance.report.matrix import UNTESTED, Row, name, rows, totals
from conformance.runner import BROKEN, DEVIATES, FAIL, PASS, SKIP, Run
from conformance.sentences import LEVELS

SIGNS = {PASS: "✓", FAIL: "✗", SKIP: "–", DEVIATES: "≈", BROKEN: "!", UNTESTED: ""}
WORDS = {
    PASS: "holds", FAIL: "does not hold", SKIP: "skipped: the machine cannot show it",
    DEVIATES: "deviates: callers rely on the opposite", BROKEN: "the test is at fault",
    UNTESTED: "no test",
}  # fmt: skip
STYLE = """
:root { color-scheme: light dark; --line: #8884; --pass: #2a9d4a; --fail: #d33; --should: #e08a00;
  --soft: #777; --deviates: #6a5acd; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem;
  padding: 0 1rem; }
h1 { margin: 0 0 .3rem } p { margin: .3rem 0 } a { color: inherit }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th, td { padding: .25rem .5rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top }
thead th { position: sticky; top: 0; background: Canvas }
td.o { text-align: center; color: #fff; font-weight: 700; cursor: help; min-width: 5.5rem;
  border-left: 2px solid Canvas }
td.pass { background: var(--pass) } td.fail { background: var(--fail) }
td.fail.SHOULD { background: var(--should) } td.deviates { background: var(--deviates) }
td.skip, td.untested { color: var(--soft); background: #8882 } td.broken { background: #000 }
tr.section th { padding-top: 1.3rem; font-size: 1.1em }
.id { font-family: ui-monospace, monospace; font-size: .85em; color: var(--soft) }
.level { font-size: .75em; color: var(--soft) } .sums td { text-align: right }
.sums td:first-child { text-align: left; font-weight: 700 }
body.differ tr.same { display: none }
#reason { position: fixed; bottom: 0; left: 0; right: 0; background: Canvas; padding: .6rem 1rem;
  border-top: 2px solid var(--line); font-size: .9em; max-height: 30vh; overflow: auto }
#reason:empty { display: none }
"""
SCRIPT = """
const box = document.getElementById('reason');
for (const event of ['mouseover', 'click'])
  document.addEventListener(event, e => {
    const cell = e.target.closest('td.o');
    if (cell) box.textContent = cell.title;
  });
document.getElementById('differ').addEventListener('change',
  e => document.body.classList.toggle('differ', e.target.checked));
"""


def matrix(runs: list[Run]) -> str:
    """Return the page."""
    table = rows(runs)
    heads = "".join(f"<th>{escape(_title(run))}</th>" for run in runs)
    body = "\n".join(_section(group, len(runs)) for group in _sections(table))
    legend = " &nbsp; ".join(
        f"<b>{SIGNS[outcome]}</b> {WORDS[outcome]}" for outcome in (PASS, FAIL, DEVIATES, SKIP)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>OCI runtime conformance</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>
<body><h1>OCI runtime conformance</h1>
<p>What runtimes do of what runtime-spec {SPEC_VERSION} asks, sentence by sentence. A cell's reason
shows on hover: what was done, and what was seen.</p>
{_sums(runs, table)}
<p>{legend} &nbsp; A SHOULD that does not hold is orange.</p>
<p><label><input type="checkbox" id="differ"> only what does not hold everywhere</label></p>
<table><thead><tr><th>sentence</th>{heads}</tr></thead><tbody>
{body}
</tbody></table><div id="reason"></div><script>{SCRIPT}</script></body></html>
"""


def _title(run: Run) -> str:
    return f"{name(run)}, cgroup {run.host['cgroups']}"


def _sums(runs: list[Run], table: list[Row]) -> str:
    """Return the table of runs: versions, machine, sums by level."""
    heads = "".join(f"<th>{level}</th>" for level in (*LEVELS, "all", "deviates", "skipped"))
    lines = []
    for column, run in enumerate(runs):
        cells = []
        for level in (*LEVELS, None):
            count = totals(table, column, level)
            judged = count[PASS] + count[FAIL] + count[BROKEN]
            cells.append(f"{count[PASS]} of {judged}")
        count = totals(table, column)
        cells += [str(count[DEVIATES]), str(count[SKIP])]
        host = ", ".join((run.host["system"], run.host["kernel"], f"cgroup {run.host['cgroups']}"))
        tds = "".join(f"<td>{cell}</td>" for cell in cells)
        lines.append(
            f"<tr><td>{escape(run.version)}</td>{tds}<td>{escape(host)}; config.json of "
            f"ociVersion {escape(run.host['ociVersion'])}</td></tr>"
        )
    return (
        f'<table class="sums"><thead><tr><th>runtime</th>{heads}<th>on</th></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def _sections(table: list[Row]) -> list[list[Row]]:
    return [list(group) for _, group in groupby(table, key=lambda row: row.sentence.section)]


def _section(group: list[Row], columns: int) -> str:
    first = group[0].sentence
    page = first.section.partition("#")[0]
    head = (
        f'<tr class="section"><th colspan="{columns + 1}">'
        f'<a href="{escape(first.url)}">{escape(page)}: {escape(first.title)}</a></th></tr>'
    )
    return "\n".join([head, *(_row(row) for row in group)])


def _row(row: Row) -> str:
    sentence = row.sentence
    good = all(cell.outcome in {PASS, SKIP, UNTESTED} for cell in row.cells)
    cells = "".join(
        f'<td class="o {cell.outcome} {sentence.level}" '
        f'title="{escape(f"{WORDS[cell.outcome]}: {cell.reason}")}">{SIGNS[cell.outcome]}</td>'
        for cell in row.cells
    )
    return (
        f"<tr{' class=same' if good else ''}><td>{escape(sentence.text)} "
        f'<span class="level">{sentence.level}</span> '
        f'<span class="id">{escape(sentence.id)}</span></td>{cells}</tr>'
    )
