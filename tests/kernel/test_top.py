"""`top`: one table without a terminal, and the live one, driven by its keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from ociruntime.state.store import Store
from ociruntime.top.sample import COLUMNS, ORDERS, Row, size, take
from tests.support.bundle import Bundle
from tests.support.patience import PATIENCE
from tests.support.runtime import Runtime

Made = Callable[..., Bundle]


@pytest.fixture
def three(runtime: Runtime, bundle: Made) -> Iterator[list[str]]:
    """One that computes, one that sleeps with limits, one that has ended."""
    limits = {"memory": {"limit": 64 << 20}, "pids": {"limit": 20}}
    busy = runtime.up(bundle().shell("while :; do :; done"))
    idle = runtime.up(bundle(["/bin/sleep", "100"], linux={"resources": limits}))
    ended = runtime.up(bundle(["/bin/true"]))
    runtime.wait_for(ended, "stopped")
    yield [busy, idle, ended]
    for name in (busy, idle, ended):
        runtime.delete(name, "--force").check()


def test_one_table(runtime: Runtime, three: list[str]) -> None:
    busy, idle, ended = three
    lines = runtime.call("top").check().stdout.splitlines()
    rows = {line.split()[0]: line.split() for line in lines[1:]}
    assert lines[0].split()[:2] == ["ID", "STATUS"]
    assert set(rows) == set(three)
    assert rows[busy][1] == rows[idle][1] == "running"
    assert float(rows[busy][2]) > float(rows[idle][2])
    assert lines[1].startswith(busy), "the greatest comes first"
    assert rows[idle][4] == "64M"
    assert rows[idle][5] == "1/20"
    assert rows[ended][1:4] == ["stopped", "-", "-"]
    by_name = runtime.call("top", "--sort", "id").check().stdout.splitlines()[1:]
    assert [line.split()[0] for line in by_name] == sorted(three)
    assert "use cpu, memory" in runtime.call("top", "--sort", "size").stderr


def test_none(runtime: Runtime) -> None:
    assert runtime.call("top").check().stdout.split() == " ".join(COLUMNS).split()


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (1023, "1023"), (1024, "1.0K"), (10 << 10, "10K"), (1 << 40, "1.0T"), (1e30, None)],
)
def test_sizes(number: float, text: str | None) -> None:
    assert size(number) == text or text is None


def test_orders_are_of_rows() -> None:
    for order in ORDERS.values():
        assert sorted([Row("b", "stopped"), Row("a", "stopped")], key=order) is not None  # type: ignore[arg-type, type-var]


def test_live(runtime: Runtime, three: list[str]) -> None:
    pytest.importorskip("textual", reason="`make test` installs it")
    from textual.widgets import DataTable

    from ociruntime.top.app import Page, Top

    busy, idle, _ = three
    app = Top(Store(str(runtime.root)), 0.05, lambda name, width: f"{width}: what made {name}")

    def ids() -> list[str]:
        table = app.query_one("#containers", DataTable)
        return [str(table.get_row_at(index)[0]) for index in range(table.row_count)]

    async def drive() -> None:
        async with app.run_test(size=(160, 40)) as pilot:
            while not ids() or ids()[0] != busy:
                await pilot.pause(0.02)
            assert set(ids()) == set(three)
            for _ in range(len(ORDERS) - 1):
                await pilot.press("s")
            assert ids() == sorted(three)
            assert "by id" in app.sub_title
            app.query_one("#containers", DataTable).move_cursor(row=sorted(three).index(idle))
            await pilot.pause(0.2)  # it is made anew several times, and the choice stays
            await pilot.press("p")
            await pilot.pause()
            page = app.screen
            assert isinstance(page, Page)
            assert page.heading == f"processes of {idle}"
            assert "/bin/sleep 100" in page.text
            await pilot.press("escape")
            await pilot.press("l")
            await pilot.pause()
            page = app.screen
            assert isinstance(page, Page)
            assert page.text == f"158: what made {idle}", "but for the scroll bar"
            await pilot.press("escape")
            await pilot.press("q")

    asyncio.run(asyncio.wait_for(drive(), PATIENCE))


def test_rates_need_two_looks(runtime: Runtime, three: list[str]) -> None:
    store = Store(str(runtime.root))
    first = take(store, [])
    assert all(row.cpu == 0 for row in first)
    second = take(store, first)
    while not any(row.cpu > 0 for row in second):
        second = take(store, first)
    assert second[0].id == three[0]
