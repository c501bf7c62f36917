"""The long search: `make field HOURS=1`, which is `python -m tests.field.search`.

Plays cases by chance until the time is up, and writes each difference that is new, made smaller, to
tests/field/found/, where `make test` runs it from then on. Exits with 1 when it found any.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

from conformance.host import SetupError, enter_own_mount_namespace
from tests.field import differences
from tests.field.case import Case
from tests.field.compare import Difference, PeerSilentError, compare
from tests.field.generate import cases
from tests.field.peers import CHECKOUT, NoPeersError, build_look, find_peers
from tests.field.reduce import reduced

FOUND = Path(__file__).with_name("found")


class Search:
    """One search with one runtime; `found` are the files it wrote."""

    def __init__(self, ours: Path, peers: Sequence[Path], look: Path, directory: Path) -> None:
        self.ours, self.peers, self.look, self.directory = ours, peers, look, directory
        self.found: list[Path] = []
        self.played = self.silent = 0
        self._meant = differences.read()
        self._known: set[str] = set()

    def play(self, case: Case) -> None:
        """Play a case; what it shows that no case before it showed is made smaller and written."""
        self.played += 1
        new = [one for one in self._differences(case) if kind(one) not in self._known]
        while new:
            wanted = kind(new[0])
            self._known.add(wanted)
            if self._shows(case, wanted):  # and not only once
                small = reduced(case, partial(self._shows, wanted=wanted))
                shown = self._differences(small)
                self._known |= {kind(one) for one in shown}
                self._write(small, shown)
            new = [one for one in new if kind(one) not in self._known]

    def _shows(self, case: Case, wanted: str) -> bool:
        return any(kind(one) == wanted for one in self._differences(case))

    def _differences(self, case: Case) -> list[Difference]:
        try:
            outcome = compare(case, self.ours, self.peers, self.look)
        except PeerSilentError:
            self.silent += 1
            return []
        except (OSError, LookupError, ValueError, TypeError):
            return []  # no case: a change that needs another one, which was left out
        return differences.unmeant(outcome, self._meant) if outcome.made else []

    def _write(self, case: Case, shown: list[Difference]) -> None:
        if not shown:
            return
        shows = [re.sub(r"\S*ocirt-test\S*", "...", str(one)) for one in shown[:8]]
        text = case.to_json(shows=shows)
        name = re.sub(r"[^a-z0-9]+", "-", kind(shown[0]).lower())
        digest = hashlib.sha256(case.to_json().encode()).hexdigest()[:6]
        path = self.directory / f"{name[:60].strip('-')}-{digest}.json"
        path.write_text(text)
        self.found.append(path)
        print(f"{path}\n  " + "\n  ".join(map(str, shown[:8])), flush=True)


def kind(found: Difference) -> str:
    """Return what makes two differences one: the place without numbers, and our refusal's words."""
    said = re.sub(r"\S*/\S*|\d+", "", found.ours) if found.place.startswith("calls/") else ""
    return re.sub(r"\d+", "N", f"{found.place} {said[:80]}")


def search(seconds: float, made: Search, number: int, report: Callable[[str], None]) -> None:
    """Play cases by chance until the time is up; `number` seeds the first batch."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:

        @seed(number)
        @settings(
            max_examples=50,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases())
        def batch(case: Case) -> None:
            if time.monotonic() < deadline:
                made.play(case)

        batch()
        number += 1
        report(f"{made.played} cases, {made.silent} unanswered by a peer, {len(made.found)} found")


def main() -> int:
    """Parse the command line and search."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--runtime", type=Path, default=CHECKOUT / ".venv" / "bin" / "ociruntime")
    parser.add_argument("--found", type=Path, default=FOUND, help="directory for what is found")
    chosen = parser.parse_args()
    try:
        enter_own_mount_namespace()
        with tempfile.TemporaryDirectory() as directory:
            look = build_look(Path(directory))
            peers = find_peers(look)
            names = ", ".join(peer.name for peer in peers)
            print(
                f"{chosen.runtime} and {names}, seed {chosen.seed}, pid {os.getpid()}", flush=True
            )
            made = Search(chosen.runtime.absolute(), peers, look, chosen.found)
            search(chosen.hours * 3600, made, chosen.seed, lambda text: print(text, flush=True))
    except (SetupError, NoPeersError) as error:
        sys.stderr.write(f"field: {error}\n")
        return 2
    return 1 if made.found else 0


if __name__ == "__main__":
    sys.exit(main())
