"""The live table, on textual (the extra ``top`` of the package)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Header, Static

from ociruntime.errors import OciError
from ociruntime.library.usage import processes_of
from ociruntime.top.sample import COLUMNS, ORDERS, Row, take

if TYPE_CHECKING:
    from collections.abc import Callable

    from ociruntime.state.store import Store


SCROLL_BAR = 2


class Page(ModalScreen[None]):
    """A text about one container; any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,p,l", "dismiss", "back"),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self.text = text
        self.heading = title

    def compose(self) -> ComposeResult:
        """The text, which can be scrolled."""
        with VerticalScroll():
            # No markup: what a container's processes are called is not ours to interpret.
            yield Static(f"{self.heading}\n\n{self.text}", markup=False, id="page")


class Top(App[None]):
    """All containers below a state directory."""

    TITLE = "ociruntime top"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("s", "sort", "sort by the next column"),
        Binding("p", "processes", "processes"),
        Binding("l", "plan", "plan"),
    ]

    def __init__(self, store: Store, interval: float, plan: Callable[[str, int], str]) -> None:
        """Parameters: ``interval`` in seconds; ``plan`` gives the text of a container's plan in
        lines of so many characters.
        """
        super().__init__()
        self._store = store
        self._interval = interval
        self._plan = plan
        self._rows: list[Row] = []
        self._order = next(iter(ORDERS))

    def compose(self) -> ComposeResult:
        """The table between its headings and the keys."""
        yield Header()
        yield DataTable[str](cursor_type="row", id="containers")
        yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self._table().add_columns(*COLUMNS)
        self.renew()
        self.set_interval(self._interval, self.renew)

    def renew(self) -> None:
        """Look again; the chosen container stays chosen."""
        chosen = self._chosen()
        self._rows = take(self._store, self._rows, self._order)
        self.sub_title = f"{len(self._rows)} containers, by {self._order}"
        table = self._table()
        table.clear()
        for row in self._rows:
            table.add_row(*row.cells(), key=row.id)
        names = [row.id for row in self._rows]
        if chosen in names:
            table.move_cursor(row=names.index(chosen))

    def action_sort(self) -> None:
        """Sort by what comes next."""
        names = list(ORDERS)
        self._order = names[(names.index(self._order) + 1) % len(names)]
        self.renew()

    def action_processes(self) -> None:
        """Show the chosen container's processes."""
        self._show(
            "processes",
            lambda name: "\n".join(
                f"{each.pid:>8} {each.uid:>6}  {' '.join(each.args)}"
                for each in processes_of(self._store.root, name)
            ),
        )

    def action_plan(self) -> None:
        """Show the plan that the chosen container was created by."""
        width = self.size.width - SCROLL_BAR
        self._show("plan", lambda name: self._plan(name, width))

    def _show(self, what: str, told: Callable[[str], str]) -> None:
        name = self._chosen()
        if not name:
            return
        try:
            text = told(name)
        except OciError as error:
            text = str(error)
        self.push_screen(Page(f"{what} of {name}", text))

    def _table(self) -> DataTable[str]:
        return self.query_one("#containers", DataTable)

    def _chosen(self) -> str:
        table = self._table()
        return self._rows[table.cursor_row].id if table.cursor_row < len(self._rows) else ""
