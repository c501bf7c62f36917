"""The patterns of the schemas and what stands for them elsewhere (cold path)."""

from __future__ import annotations

_END = r"$(?!\n)"  # Python's $ would let a line break follow; other dialects agree with this one

# pattern -> its function in checks.py
PATTERNS = {
    "^/": "is_absolute",
    "^[0-9, -]*" + _END: "is_number_list",
    "^[rwm]*" + _END: "is_access",
    "^[^/]+" + _END: "is_file_name",
    r"^[^/: \t\n]+" + _END: "is_interface_name",
    r"^(/|[^/\n]+)" + _END: "is_class_name",
    r"^[^\n]*" + _END: "is_line",
    r"^MB:[^\n]*" + _END: "is_bandwidth_line",
    "^[1-9][0-9]*[KMG]B" + _END: "is_page_size",
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?"
    + _END: "is_version",
}

# What these functions check besides the pattern; the schema must say the same beside the pattern.
LENGTHS = {
    "is_interface_name": {"minLength": 1, "maxLength": 15},
    "is_file_name": {"minLength": 1},
}

# function -> what is said about a string that does not pass
FORMS = {
    "is_absolute": "is not an absolute path",
    "is_access": "has other letters than r, w and m",
    "is_bandwidth_line": 'is not one line that begins with "MB:"',
    "is_class_name": "is not a plain name",
    "is_file_name": "is not a plain file name",
    "is_interface_name": "is not a name for a network interface",
    "is_line": "has a line break",
    "is_number_list": "is not a list of numbers",
    "is_page_size": "is not a page size",
    "is_version": "is not a version number",
}


def form(pattern: str) -> str:
    """What is said about a string that does not match ``pattern``."""
    return FORMS.get(PATTERNS.get(pattern, ""), "does not have the form of this property")
