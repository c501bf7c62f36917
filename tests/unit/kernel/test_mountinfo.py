"""proc_pid_mountinfo(5), its escapes above all."""

from __future__ import annotations

import pytest

from ociruntime.kernel.mountinfo import mount_points, unescape


@pytest.mark.parametrize(
    ("field", "plain"),
    [
        ("/proc", "/proc"),
        (r"/a\040b", "/a b"),
        (r"/a\011b\012c", "/a\tb\nc"),
        (r"/a\134", "/a\\"),
        (r"/a\134040", r"/a\040"),
        (r"/a\134134012", r"/a\134012"),
        (r"/a\043", "/a#"),
    ],
)
def test_escapes_are_undone_once(field: str, plain: str) -> None:
    assert unescape(field) == plain


def line(place: str, kind: str) -> str:
    return f"22 1 0:21 / {place} rw,relatime shared:5 - {kind} {kind} rw\n"


@pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\r", "\x1c", "\x85", "\u2028"])
def test_only_a_line_feed_ends_a_line(odd: str) -> None:
    """The kernel escapes none of what ``str.splitlines`` splits at besides."""
    text = line(f"/a{odd}b", "proc") + line("/c", "sysfs")
    assert mount_points(text, ("proc", "sysfs")) == [f"/a{odd}b", "/c"]


def test_only_the_filesystems_asked_for() -> None:
    text = line("/proc", "proc") + line("/x - proc", "tmpfs").replace("x - p", r"x\040-\040p")
    assert mount_points(text + line("/p", "proc"), ("proc",)) == ["/proc", "/p"]
    assert mount_points(text, ("resctrl",)) == []
