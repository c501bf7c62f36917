"""What differs: where the peers agree with each other and not with us."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.field import seeds
from tests.field.case import Case
from tests.field.play import Play, SilentError

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """One observation: `place` is its path, such as `process/umask`."""

    place: str
    ours: str
    peers: str

    def __str__(self) -> str:
        return f"{self.place}\n      ours:  {self.ours}\n      peers: {self.peers}"


class PeerSilentError(Exception):
    """A peer did not answer: the case says nothing and is dropped."""


@dataclass(frozen=True)
class Outcome:
    """`found` is what differs, with `config`; `agreed`: the peers did the same calls alike.

    `made` is False where a peer refused to make the container: of a case by chance it is not known
    whether they refused for one reason, so it says nothing.
    """

    found: list[Difference]
    agreed: bool
    config: dict[str, Any]
    made: bool = True


def flat(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of what was seen, each with its place."""
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from flat(one, f"{place}/{name}" if place else str(name))
    else:
        yield place, str(value)


def difference(ours: dict[str, Any], peers: list[dict[str, Any]]) -> list[Difference]:
    """Return where all peers say the same and we something else."""
    own = dict(flat(ours))
    first, *others = [dict(flat(seen)) for seen in peers]
    found = []
    for place in sorted(own.keys() | first.keys()):
        theirs = first.get(place, ABSENT)
        if any(other.get(place, ABSENT) != theirs for other in others):
            continue
        if own.get(place, ABSENT) != theirs:
            found.append(Difference(place, own.get(place, ABSENT), theirs))
    # Where a call did not do what it did for the peers, the rest follows from that.
    calls = [one for one in found if one.place.startswith("calls/")]
    return calls[:1] if calls else found


def compare(case: Case, ours: Path, peers: Sequence[Path], look: Path) -> Outcome:
    """Play a case with all of them.

    Raises PeerSilentError where a peer does not answer. If we do not, that is a difference.
    """
    seen = []
    for binary in peers:
        try:
            seen.append(Play(case, binary, look).run())
        except SilentError as error:
            raise PeerSilentError(binary.name) from error
    made = all("process" in one for one in seen)
    config = case.config(seeds.SEEDS)
    agreed = all(one["calls"] == seen[0]["calls"] for one in seen)
    play = Play(case, ours, look)
    try:
        own = play.run()
    except SilentError as error:
        return Outcome([Difference("answer", str(error), "an answer")], agreed, config, made)
    found = difference(own, seen)
    if found and found[0].place.startswith("calls/"):
        said = "; ".join(line for line in play.said if ": 0 " not in line)
        found = [Difference(one.place, f"{one.ours}: {said}", one.peers) for one in found]
    return Outcome(found, agreed, config, made)
