"""`ociruntime trace`: the text and the picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from ociruntime.cli.main import main
from ociruntime.trace.chart import Chart, in_words, make_chart
from ociruntime.trace.svg import LETTER, TICKS, WIDTH, draw_svg, tick_length
from ociruntime.trace.text import draw_text, fit

SVG = "{http://www.w3.org/2000/svg}"


def event(name: str, tid: int, ts: float, dur: float, **arguments: str) -> dict[str, Any]:
    return {"name": name, "cat": "phase", "ph": "X", "pid": 5, "tid": tid, "ts": ts, "dur": dur,
            "args": arguments}  # fmt: skip


def track(tid: int, name: str) -> dict[str, Any]:
    return {"name": "thread_name", "cat": "__metadata", "ph": "M", "pid": 5, "tid": tid, "ts": 0,
            "args": {"name": name, "order": tid}}  # fmt: skip


DOCUMENT = {
    "traceEvents": [
        track(0, "ociruntime"),
        track(1, "init"),
        event("ociruntime run", 0, 1000.001, 1000.0),
        event("first", 0, 1000.001, 100.1),
        event("second <&>\x1b", 0, 1100.101, 600.0, error="it broke", pointer="/a"),
        event("inner", 0, 1200.0, 100.0),
        event("tiny", 0, 1900.0, 0.5),
        event("step", 1, 1500.001, 250.0),
    ],
    "otherData": {"arguments": ["run", "x"]},
}


@pytest.fixture
def chart() -> Chart:
    return make_chart(DOCUMENT)


def test_nesting(chart: Chart) -> None:
    assert (chart.title, chart.duration) == ("ociruntime run x", 1000)
    parent, init = chart.tracks
    assert [(span.name[:6], span.depth) for span in parent.spans] == [
        ("ocirun", 0), ("first", 1), ("second", 1), ("inner", 2), ("tiny", 1),
    ]  # fmt: skip
    assert (parent.depth, init.depth, init.name) == (3, 1, "init")


def test_bars_lie_where_they_are_in_time(chart: Chart) -> None:
    lines = draw_text(chart, 90, everything=False).splitlines()
    assert max(map(len, lines)) <= 90
    bars = {line.split("  ")[1].strip(): line for line in lines if "█" in line}
    whole = next(line for line in lines if "ociruntime run  " in line)
    first, last = whole.index("█"), whole.rindex("█") + 1
    step = next(line for line in lines if "step" in line)
    assert step.index("█") == first + (last - first) // 2
    assert len(step) - step.index("█") == pytest.approx((last - first) / 4, abs=1)
    assert bars
    assert "failed: it broke" in "\n".join(lines)
    assert "1 spans below 2.5 µs are not shown; --all shows them" in lines
    assert "tiny" not in "\n".join(lines)


def test_all(chart: Chart) -> None:
    text = draw_text(chart, 90, everything=True)
    assert "tiny" in text
    assert "▏" in text  # the shortest bar is still one
    assert "not shown" not in text


@pytest.mark.parametrize(
    ("microseconds", "words"),
    [(0.25, "0.25 µs"), (61.23, "61.2 µs"), (1234.5, "1.23 ms"), (2_000_000, "2 s"),
     (5_000_000_000, "5000 s")],
)  # fmt: skip
def test_durations(microseconds: float, words: str) -> None:
    assert in_words(microseconds) == words


def test_columns_of_wide_letters() -> None:
    assert fit("日本", 6) == "日本  "
    assert fit("日本語", 5) == "日本…"
    assert fit("abcdef", 4) == "abc…"


def test_picture(chart: Chart) -> None:
    root = ET.fromstring(draw_svg(chart))
    # The paper has no title.
    bars = [rect for rect in root.iter(f"{SVG}rect") if rect.find(f"{SVG}title") is not None]
    assert len(bars) == 6
    titles = [str(bar.findtext(f"{SVG}title")) for bar in bars]
    assert "second <&>?: 600 µs\n/a\nit broke" in titles
    whole, inner = bars[0], bars[titles.index("inner: 100 µs")]
    width = float(str(whole.get("width")))
    assert float(str(inner.get("width"))) == pytest.approx(width / 10, abs=0.1)
    assert float(str(inner.get("y"))) > float(str(whole.get("y")))
    text = draw_svg(chart)
    assert "http" not in text.replace('xmlns="http://www.w3.org/2000/svg"', "")  # self-contained


def words_of(document: dict[str, Any]) -> list[tuple[float, float, str]]:
    """Of each line of words where it begins, where it ends at most, and what it says."""
    found = []
    for part in ET.fromstring(draw_svg(make_chart(document))).iter(f"{SVG}text"):
        text = str(part.text).replace("\N{NO-BREAK SPACE}", " ")
        x, length = float(part.attrib["x"]), len(text) * LETTER
        x -= length if part.get("text-anchor") == "end" else 0
        found.append((x, x + length, text))
    return found


def test_every_name_is_whole() -> None:
    """However long it is, and wherever its bar: it is beside it, on it or before it, in lines."""
    long = "a step of many words " * 12 + "that ends"
    for begin in (1000.0, 1500.0, 1980.0):
        spans = [event("ociruntime run", 0, 1000.0, 1000.0), event(long, 0, begin, 20.0)]
        words = words_of({**DOCUMENT, "traceEvents": [track(0, "ociruntime"), *spans]})
        assert f"{long}: 20 µs" in " ".join(text for _, _, text in words)
        assert all(left >= 0 and right <= WIDTH for left, right, _ in words)
    assert "…" not in draw_svg(make_chart(DOCUMENT))


def test_a_row_says_what_it_is() -> None:
    spans = [event("ociruntime run", 0, 0.0, 1000.0), event("open it", 0, 10.0, 100.0)]
    spans[1]["cat"] = "step"
    spans += [event(f"short {number}", 0, 200.0 + number, 0.5) for number in range(9)]
    spans += [event("broken", 0, 300.0, 0.5, error="it broke")]
    words = [text for _, _, text in words_of({**DOCUMENT, "traceEvents": spans})]
    assert "1 ms: ociruntime run x" in words
    assert "step: open it: 100 µs" in words
    assert "9 short spans: 4.5 µs" in words
    assert "broken: 0.5 µs failed: it broke" in words


@pytest.mark.parametrize("duration", [0.001, 3.0, 999.0, 1e6, 7.7e8])
def test_ticks(duration: float) -> None:
    assert TICKS / 3 < duration / tick_length(duration) <= TICKS or duration < 0.01


def test_command(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(DOCUMENT))
    assert main(["trace", "--width", "80", str(path)]) == 0
    assert "ociruntime run" in capfd.readouterr().out
    assert main(["trace", "--svg", str(tmp_path / "out.svg"), str(path)]) == 0
    assert (tmp_path / "out.svg").read_text().startswith("<svg")
    assert main(["trace", "--svg", str(tmp_path / "no" / "out"), str(path)]) == 1
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"traceEvents": []}', '{"traceEvents": [{"ph": "X"}]}', "[" * 100_000],
)
def test_other_files_are_refused(
    content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other"
    path.write_text(content)
    assert main(["trace", str(path)]) == 1
    assert "not a trace" in capfd.readouterr().err
    assert main(["trace", str(tmp_path / "none")]) == 1
    assert main(["trace"]) == 1
