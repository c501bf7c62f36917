"""Did you mean: the word nearest to a mistyped one (cold path)."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, words: Iterable[str]) -> str:
    """The one of ``words`` that ``word`` was probably meant to be, "" if none is near.

    Near is at most one slip in three characters; a difference in upper and lower case is no slip.
    """
    best, fewest = "", max(1, min(len(word), 40) // 3) + 1
    for candidate in words:
        slips = distance(word.lower(), candidate.lower(), fewest)
        if slips < fewest:
            best, fewest = candidate, slips
    return best


def distance(one: str, other: str, limit: int) -> int:
    """Characters to insert, drop, replace or swap with a neighbour, at most ``limit``."""
    if abs(len(one) - len(other)) >= limit:
        return limit
    before: list[int] = []
    above = list(range(len(other) + 1))
    for row, left in enumerate(one, 1):
        current = [row]
        for column, right in enumerate(other, 1):
            cost = min(above[column] + 1, current[-1] + 1, above[column - 1] + (left != right))
            if row > 1 and column > 1 and left == other[column - 2] and one[row - 2] == right:
                cost = min(cost, before[column - 2] + 1)
            current.append(cost)
        before, above = above, current
    return min(above[-1], limit)
