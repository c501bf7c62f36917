"""How this process started: from the start image, or the long way round and why."""

from __future__ import annotations

import sys

from ociruntime.kernel import _sys

REFRESH = "ociruntime image refresh"


def is_embedded() -> bool:
    """Whether our own launcher started this interpreter, not ``python -m ociruntime``."""
    return _sys.install_dir is not None


def reason() -> str | None:
    """Why no start image was entered (native/front-image.c), None when one was."""
    if not is_embedded():
        return "it was started by Python itself"
    text: str | None = getattr(sys, "_no_image", None)
    if text is not None and text.startswith("/"):
        return f"{text} has changed since the image was made"
    return text


def lost_library() -> str | None:
    """The library of the interpreter in the image, when it is gone from the disk: the image goes on
    without it, but no module that is not in it can be loaded.
    """
    return getattr(sys, "_image_without", None)


def explain() -> str:
    """One line for --debug."""
    why = reason()
    if why is not None:
        return f"started without a start image: {why}; `{REFRESH}` makes one"
    lost = lost_library()
    if lost is not None:
        return (
            f"started from the start image; {lost}, which it was made of, is gone:"
            " install ociruntime anew for the Python that is here now"
        )
    return "started from the start image"


def without_library() -> str | None:
    """What to say of a failed import, when Python was removed or replaced."""
    lost = lost_library()
    if lost is None:
        return None
    return (
        f"Python was removed or replaced ({lost} is gone), and this command needs a part of it that"
        " is not in the start image: install ociruntime anew for the Python that is here now"
    )
