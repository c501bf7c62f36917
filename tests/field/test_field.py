"""The newest runc and crun agree, and so do we: fixed cases, found ones, and some by chance.

See tests/field/__init__.py. Root only; skipped by name where there are not two peers that run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests.field import differences
from tests.field.case import Case
from tests.field.compare import Outcome, PeerSilentError, compare
from tests.field.dimensions import DIMENSIONS
from tests.field.generate import cases
from tests.field.peers import NoPeersError, are_newest, build_look, find_peers
from tests.field.play import NotCalledError

pytestmark = pytest.mark.kernel
FOUND = sorted((Path(__file__).parent / "found").glob("*.json"))
SEEDS, EXAMPLES = 6, 4


@pytest.fixture(scope="session")
def look(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled probe."""
    return build_look(tmp_path_factory.mktemp("look"))


@pytest.fixture(scope="session")
def peers(look: Path) -> Sequence[Path]:
    """The runc and the crun to compare with."""
    try:
        return find_peers(look)
    except NoPeersError as error:
        pytest.skip(str(error))


def assert_none(outcome: Outcome, peers: Sequence[Path]) -> None:
    """Assert that nothing differs that is not meant to.

    Of older peers only what they do and we refuse counts: what they refuse the newest may do.
    """
    found = differences.unmeant(outcome, differences.read())
    if not are_newest(peers):
        found = [one for one in found if one.place == "answer" or one.peers == "done"]
    assert not found, "\n  ".join(["the peers agree, and we differ:", *map(str, found)])


@pytest.mark.parametrize("name", DIMENSIONS)
def test_dimension(name: str, runtime_binary: Path, peers: Sequence[Path], look: Path) -> None:
    older = "" if are_newest(peers) else f"{' and '.join(peer.name for peer in peers)} are older"
    try:
        outcome = compare(DIMENSIONS[name].case, runtime_binary, peers, look)
    except PeerSilentError as error:
        if older:
            pytest.skip(f"{older}, and {error} does not answer")
        raise
    if older and not outcome.agreed:
        pytest.skip(f"{older} and do not agree")
    assert outcome.agreed, "the peers do not agree on the calls: this dimension says nothing"
    assert_none(outcome, peers)


@pytest.mark.parametrize("file", FOUND, ids=lambda file: file.stem)
def test_found(file: Path, runtime_binary: Path, peers: Sequence[Path], look: Path) -> None:
    assert_none(compare(Case.from_json(file.read_text()), runtime_binary, peers, look), peers)


@pytest.mark.parametrize("number", range(SEEDS))
@pytest.mark.timeout(600)
def test_by_chance(number: int, runtime_binary: Path, peers: Sequence[Path], look: Path) -> None:
    """The same cases each time; `make field` is what searches."""

    @seed(number)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def play(case: Case) -> None:
        try:
            outcome = compare(case, runtime_binary, peers, look)
        except (PeerSilentError, NotCalledError):
            return  # it says nothing about us
        if outcome.made:
            assert_none(outcome, peers)

    play()
