"""Makes a case smaller that still shows a difference."""

from __future__ import annotations

from collections.abc import Callable

from tests.field.case import Case


def reduced(case: Case, shows: Callable[[Case], bool]) -> Case:
    """Return the case with every change left out that it does not take.

    `shows` tells whether a case still shows what is looked for; it is False for one that is no case
    any more.
    """
    smaller = True
    while smaller:
        smaller = False
        for number in reversed(range(len(case.changes))):
            if shows(less := case.without(number)):
                case, smaller = less, True
    plain = Case(case.changes)
    return plain if plain != case and shows(plain) else case
