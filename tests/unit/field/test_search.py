"""The field's search: what differs is made smaller, written once, and runs again from its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.field import search
from tests.field.case import Case
from tests.field.compare import Difference, Outcome, PeerSilentError

NOISE = ({"caller": "umask=077"}, {"set": "/hostname", "to": "x"})


def outcome(*found: Difference) -> Outcome:
    return Outcome(list(found), agreed=True, config={})


class Runtimes:
    """Stands for ours and the peers: what a case shows depends on the callers in it."""

    def __init__(self) -> None:
        self.flaky = 1

    def compare(self, case: Case, *_: Any) -> Outcome:
        words = [change["caller"] for change in case.all("caller")]
        if "silent" in words:
            raise PeerSilentError("a peer")
        if "refused" in words:
            return Outcome([Difference("left/image/x", "a", "b")], True, {}, made=False)
        if "once" in words and self.flaky:
            self.flaky -= 1
            return outcome(Difference("process/cwd", "/x", "/y"))
        found = []
        if "affinity=1" in words:
            found.append(Difference("process/affinity", "1", "0 1"))
        if "nice=5" in words:
            said = "refused: create --bundle /tmp/ocirt-test-9-x/bundle: no 5 here"
            found.append(Difference("calls/1-create", said, "done"))
        return outcome(*found)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> search.Search:
    monkeypatch.setattr(search, "compare", Runtimes().compare)
    return search.Search(Path("ours"), [Path("a"), Path("b")], Path("look"), tmp_path)


def play(made: search.Search, *words: str) -> Sequence[Path]:
    made.play(Case.of(*NOISE, *({"caller": word} for word in words), seed="user"))
    return made.found


def test_what_differs_is_made_smaller_and_written(made: search.Search) -> None:
    (file,) = play(made, "affinity=1")
    assert Case.from_json(file.read_text()) == Case.of({"caller": "affinity=1"})
    assert "process/affinity" in file.read_text()
    assert file.name.startswith("process-affinity-")


def test_each_difference_is_written_once(made: search.Search) -> None:
    play(made, "affinity=1")
    assert len(play(made, "affinity=1")) == 1
    assert len(play(made, "affinity=1", "nice=5")) == 2


def test_a_file_names_no_place_of_this_machine(made: search.Search) -> None:
    (file,) = play(made, "nice=5")
    assert "ocirt-test" not in file.read_text()
    assert "no 5 here" in file.read_text()


def test_what_shows_once_is_not_written(made: search.Search) -> None:
    assert not play(made, "once")


def test_what_the_peers_do_not_make_says_nothing(made: search.Search) -> None:
    assert not play(made, "refused")


def test_what_a_peer_does_not_answer_is_kept_nowhere(made: search.Search, tmp_path: Path) -> None:
    assert not play(made, "silent", "affinity=1")
    assert made.silent == 1
    assert not list(tmp_path.iterdir())
