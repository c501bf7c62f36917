"""Where things stand in a JSON text: the slow parser behind good error messages (cold path).

``bundle.parse`` is fast and only says that a text is bad; ``find_fault`` says what is bad and
where.  ``locate`` gives the line and column of every value and key of a good text.  Lines and
columns count from 1, columns in characters.
"""

from __future__ import annotations

import re
from typing import NoReturn

from ociruntime.jsontext import (
    DEPTH_LIMIT,
    EXACT_FLOAT_LIMIT,
    INTEGER_MAX,
    INTEGER_MIN,
    is_bad_string,
    token,
)

_WHITESPACE = " \t\n\r"
_DIGITS = "0123456789"
_PLAIN = re.compile(r'[^"\\\x00-\x1f]+')
_HEX = "0123456789abcdefABCDEF"
_ESCAPES = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_WORDS = {"true": True, "false": False, "null": None}
_FOREIGN_WORDS = {
    "NaN": "NaN is not JSON; no property takes it",
    "Infinity": "Infinity is not JSON; no property takes it",
    "True": "write true",
    "False": "write false",
    "None": "write null, or leave the property out",
}
_BYTE_ORDER_MARKS = {
    b"\xef\xbb\xbf": "UTF-8",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class TextError(Exception):
    """The text is not acceptable JSON: ``offset`` in characters and ``message`` for a person."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class Places:
    """Line and column of every value and of every object key, by JSON pointer."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.values: dict[str, int] = {}
        self.keys: dict[str, int] = {}

    def value(self, pointer: str) -> tuple[int, int]:
        """(line, column) of the value at ``pointer``, or of the nearest value around it."""
        while pointer and pointer not in self.values:
            pointer = pointer.rpartition("/")[0]
        return position(self.text, self.values.get(pointer, 0))

    def key(self, pointer: str) -> tuple[int, int]:
        """(line, column) of the key of the value at ``pointer``; of the value if it has none."""
        if pointer in self.keys:
            return position(self.text, self.keys[pointer])
        return self.value(pointer)


def position(text: str, offset: int) -> tuple[int, int]:
    """(line, column) of the character at ``offset``."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def locate(raw: bytes) -> Places:
    """Find every value and key of a text that ``bundle.parse`` accepts."""
    text = raw.decode("utf-8")
    places = Places(text)
    _Scanner(text, places).document()
    return places


def find_fault(raw: bytes) -> tuple[int, int, str]:
    """(line, column, what is wrong and the cure) of the first fault of a text that is refused."""
    for mark, name in _BYTE_ORDER_MARKS.items():
        if raw.startswith(mark):
            return 1, 1, f"the text begins with a {name} byte order mark; save it as UTF-8 without"
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8")
        line, column = position(before, len(before))
        return line, column, f"byte 0x{raw[error.start]:02x} is not UTF-8; save the text as UTF-8"
    try:
        _Scanner(text, Places(text)).document()
    except TextError as fault:
        return (*position(text, fault.offset), fault.message)
    raise AssertionError("the slow parser accepts what the fast one refuses")


class _Scanner:
    def __init__(self, text: str, places: Places) -> None:
        self.text = text
        self.places = places
        self.at = 0

    def document(self) -> None:
        self.space()
        if self.at == len(self.text):
            raise TextError(0, "the text is empty; it must hold one JSON object")
        self.value("", 1)
        self.space()
        if self.at != len(self.text):
            raise TextError(self.at, "there is more text after the end of the document")

    def space(self) -> None:
        text, at = self.text, self.at
        while at < len(text) and text[at] in _WHITESPACE:
            at += 1
        self.at = at

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def value(self, pointer: str, depth: int) -> None:
        self.places.values[pointer] = self.at
        char = self.peek()
        if char == '"':
            self.string("string")
        elif char == "{" or char == "[":
            if depth > DEPTH_LIMIT:
                raise TextError(self.at, f"more than {DEPTH_LIMIT} levels of nesting")
            self.object(pointer, depth) if char == "{" else self.array(pointer, depth)
        elif char and char in "-" + _DIGITS:
            self.number()
        else:
            self.word()

    def object(self, pointer: str, depth: int) -> None:
        start = self.at
        self.at += 1
        first: dict[str, int] = {}
        self.space()
        if self.peek() == "}":
            self.at += 1
            return
        while True:
            self.space()
            key_at = self.at
            if self.peek() != '"':
                self.expected('a property name in double quotes, or "}"', start, "object")
            key = self.string("property name")
            if key in first:
                line = position(self.text, first[key])[0]
                raise TextError(
                    key_at, f'property "{key}" is given twice (first in line {line}); keep one'
                )
            first[key] = key_at
            self.space()
            if self.peek() != ":":
                self.expected(f'":" after "{key}"', start, "object")
            self.at += 1
            self.space()
            inner = f"{pointer}/{token(key)}"
            self.places.keys[inner] = key_at
            self.value(inner, depth + 1)
            if not self.more("}", start, "object"):
                return

    def array(self, pointer: str, depth: int) -> None:
        start = self.at
        self.at += 1
        self.space()
        if self.peek() == "]":
            self.at += 1
            return
        index = 0
        while True:
            self.space()
            self.value(f"{pointer}/{index}", depth + 1)
            index += 1
            if not self.more("]", start, "array"):
                return

    def more(self, end: str, start: int, kind: str) -> bool:
        self.space()
        char = self.peek()
        if char == end:
            self.at += 1
            return False
        if char != ",":
            self.expected(f'"," or "{end}"', start, kind)
        comma = self.at
        self.at += 1
        self.space()
        if self.peek() == end:
            raise TextError(comma, f'there is a "," before the "{end}"; remove it')
        return True

    def expected(self, what: str, start: int, kind: str) -> NoReturn:
        if self.at == len(self.text):
            line = position(self.text, start)[0]
            raise TextError(self.at, f"the text ends inside the {kind} that begins in line {line}")
        raise TextError(self.at, f"expected {what}, found {self.found()}")

    def found(self) -> str:
        char = self.peek()
        if self.text.startswith(("//", "/*"), self.at) or char == "#":
            return "a comment; JSON has none"
        if char == "'":
            return "a single quote; JSON uses double quotes"
        return f'"{char}"' if char.isprintable() else f"U+{ord(char):04X}"

    def word(self) -> None:
        if self.at == len(self.text):
            raise TextError(self.at, "the text ends where a value is expected")
        end = self.at
        while end < len(self.text) and (self.text[end].isalnum() or self.text[end] == "_"):
            end += 1
        word = self.text[self.at : end]
        if word not in _WORDS:
            if word in _FOREIGN_WORDS:
                raise TextError(self.at, f"expected a value, found {word}; {_FOREIGN_WORDS[word]}")
            what = f'"{word[:40]}"' if word else self.found()
            raise TextError(self.at, f"expected a value, found {what}")
        self.at = end

    def number(self) -> None:
        text, start = self.text, self.at
        end = start + 1 if text[start] == "-" else start
        if text.startswith("Infinity", end):
            raise TextError(start, "Infinity is not JSON; no property takes it")
        whole = end
        end = self.digits(end, start)
        if text[whole] == "0" and end > whole + 1:
            raise TextError(
                start, f"number {text[start:end]} begins with 0; JSON has no octal numbers"
            )
        integral = True
        if text[end : end + 1] == ".":
            integral = False
            end = self.digits(end + 1, start)
        if text[end : end + 1] in ("e", "E"):
            integral = False
            end += 1
            if text[end : end + 1] in ("+", "-"):
                end += 1
            end = self.digits(end, start)
        digits = text[start:end]
        short = digits if len(digits) <= 24 else digits[:20] + "..."
        if integral and (len(digits) > 20 or not INTEGER_MIN <= int(digits) <= INTEGER_MAX):
            raise TextError(start, f"number {short} does not fit into 64 bits")
        if not integral and not -EXACT_FLOAT_LIMIT < float(digits) < EXACT_FLOAT_LIMIT:
            raise TextError(
                start, f"number {short} is too large to be exact; write it as an integer"
            )
        self.at = end

    def digits(self, at: int, start: int) -> int:
        end = at
        while end < len(self.text) and self.text[end] in _DIGITS:
            end += 1
        if end == at:
            raise TextError(
                start, f'"{self.text[start : at + 1]}" is not a number; a digit is missing'
            )
        return end

    def string(self, what: str) -> str:
        text, start = self.text, self.at
        parts: list[str] = []
        at = start + 1
        while True:
            char = text[at : at + 1]
            if not char:
                raise TextError(start, f"the {what} that begins here has no closing quote")
            if char == '"':
                break
            if char < " ":
                name = "a line break" if char == "\n" else f"control character U+{ord(char):04X}"
                raise TextError(at, f"{name} inside a {what}; write it as \\u{ord(char):04x}")
            if char == "\\":
                piece, at = self.escaped(at)
                parts.append(piece)
                continue
            plain = _PLAIN.match(text, at)
            parts.append(plain[0] if plain else "")
            at += len(parts[-1])
        self.at = at + 1
        # Two escapes may make one character: join them as UTF-16 does.
        value = "".join(parts).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if is_bad_string(value):
            if "\0" in value:
                raise TextError(
                    start, f"the {what} has U+0000; the kernel would see the part before it"
                )
            raise TextError(
                start, f"the {what} has half a surrogate pair; write the whole character"
            )
        return value

    def escaped(self, at: int) -> tuple[str, int]:
        text = self.text
        char = text[at + 1 : at + 2]
        if char in _ESCAPES:
            return _ESCAPES[char], at + 2
        digits = text[at + 2 : at + 6]
        if char == "u" and len(digits) == 4 and all(digit in _HEX for digit in digits):
            return chr(int(digits, 16)), at + 6
        raise TextError(
            at, f'"{text[at : at + 2]}" is no escape sequence; write \\\\ for a backslash'
        )
