"""Frozen in place of encodings.aliases: the few names this runtime and its libraries may use.

The standard table has over three hundred entries, built anew at every start of Python. A codec's
own name (utf_16, cp437) needs no alias.
"""

aliases = {
    "646": "ascii",
    "ansi_x3.4_1968": "ascii",
    "us_ascii": "ascii",
    "8859": "latin_1",
    "iso8859_1": "latin_1",
    "iso_8859_1": "latin_1",
    "l1": "latin_1",
    "latin": "latin_1",
    "latin1": "latin_1",
    "u16": "utf_16",
    "utf16": "utf_16",
    "u32": "utf_32",
    "utf32": "utf_32",
    "u8": "utf_8",
    "utf": "utf_8",
    "utf8": "utf_8",
    "utf8_ucs2": "utf_8",
    "utf8_ucs4": "utf_8",
}
