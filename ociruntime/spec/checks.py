"""The building blocks of the generated check (hot path).

A check is a function of one value that returns OK, UNKNOWN or BAD (which may be or-ed): the value
is fine, it has keys that the schema does not know, it breaks the schema.  No pointers, no texts:
``explain`` says what and where once the fast answer is no.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Check = Callable[[Any], int]

OK = 0
UNKNOWN = 1
BAD = 2

_DIGITS = "0123456789"
_LABEL = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz.-"
_STRINGS = frozenset((str,))


def string(value: Any) -> int:
    """Any string."""
    return OK if type(value) is str else BAD


def boolean(value: Any) -> int:
    """Either true or false."""
    return OK if type(value) is bool else BAD


def strings(value: Any) -> int:
    """An array of any strings; C does the looking (a seccomp profile has 400 names)."""
    return OK if type(value) is list and _STRINGS.issuperset(map(type, value)) else BAD


def some_strings(value: Any) -> int:
    """An array of at least one string."""
    return strings(value) if value else BAD


def anything(value: Any) -> int:
    """An object that is not looked into (other platforms)."""
    return OK if type(value) is dict else BAD


def no_strings(value: Any) -> int:
    """The empty array."""
    return OK if type(value) is list and not value else BAD


def integer(low: int, high: int) -> Check:
    """An integer from ``low`` to ``high``."""

    def check(value: Any) -> int:
        return OK if type(value) is int and low <= value <= high else BAD

    return check


def length(low: int, high: int) -> Check:
    """A string of ``low`` to ``high`` characters."""

    def check(value: Any) -> int:
        return OK if type(value) is str and low <= len(value) <= high else BAD

    return check


def one_of(*names: str) -> Check:
    """One of these strings."""
    allowed = frozenset(names)

    def check(value: Any) -> int:
        return OK if type(value) is str and value in allowed else BAD

    return check


def matching(matches: Callable[[str], object]) -> Check:
    """A string for which ``matches`` is true."""

    def check(value: Any) -> int:
        return OK if type(value) is str and matches(value) else BAD

    return check


def array(item: Check) -> Check:
    """An array whose entries pass ``item``."""

    def check(value: Any) -> int:
        if type(value) is not list:
            return BAD
        result = OK
        for one in value:
            result |= item(one)
        return result

    return check


def mapping(key: Callable[[str], object], item: Check) -> Check:
    """An object with free keys for which ``key`` is true and whose values pass ``item``."""

    def check(value: Any) -> int:
        if type(value) is not dict:
            return BAD
        result = OK
        for name, one in value.items():
            result |= item(one) if key(name) else BAD
        return result

    return check


def structure(properties: dict[str, Check], *required: str) -> Check:
    """An object with these properties, the ``required`` ones at least."""
    needed = frozenset(required)

    def check(value: Any) -> int:
        if type(value) is not dict or not needed <= value.keys():
            return BAD
        result = OK
        for name, one in value.items():
            result |= properties[name](one) if name in properties else UNKNOWN
        return result

    return check


# One function for each "pattern" of the schemas: the generator puts it in place of the expression.


def is_absolute(text: str) -> bool:
    """True if the text begins with a slash."""
    return text[:1] == "/"


def is_file_name(text: str) -> bool:
    """True for one or more characters without a slash."""
    return text != "" and "/" not in text


def is_interface_name(text: str) -> bool:
    """True for 1 to 15 characters without slash, colon or white space."""
    return 1 <= len(text) <= 15 and not any(map(text.__contains__, "/: \t\n"))


def is_class_name(text: str) -> bool:
    """True for a plain name or the single slash (resctrl's classes of service)."""
    return text == "/" or (is_file_name(text) and "\n" not in text)


def is_line(text: str) -> bool:
    """True if the text has no line break."""
    return "\n" not in text


def is_bandwidth_line(text: str) -> bool:
    """True for one line that begins with MB:."""
    return text[:3] == "MB:" and "\n" not in text


def is_number_list(text: str) -> bool:
    """True if the text has digits, commas, blanks and hyphens only."""
    return not text.strip("0123456789, -")


def is_access(text: str) -> bool:
    """True if the text has the letters r, w and m only."""
    return not text.strip("rwm")


def is_page_size(text: str) -> bool:
    """True for a number that does not begin with 0, followed by KB, MB or GB."""
    number = text[:-2]
    return text[-2:] in {"KB", "MB", "GB"} and number != "0" and is_number(number)


def is_number(text: str) -> bool:
    """True for a decimal number of ASCII digits without a leading zero."""
    return text != "" and not text.strip(_DIGITS) and (text[0] != "0" or text == "0")


def is_version(text: str) -> bool:
    """True for MAJOR.MINOR.PATCH with an optional -PRERELEASE and +BUILD (SemVer 2.0.0)."""
    core, plus, build = text.partition("+")
    core, minus, prerelease = core.partition("-")
    if (plus and not is_label(build)) or (minus and not is_label(prerelease)):
        return False
    numbers = core.split(".")
    return len(numbers) == 3 and all(map(is_number, numbers))


def is_label(text: str) -> bool:
    """True for one or more ASCII letters, digits, dots and hyphens."""
    return text != "" and not text.strip(_LABEL)
