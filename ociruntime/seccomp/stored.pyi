"""What state.json says of a container's filter, as types."""

from typing import TypedDict

class StoredFilter(TypedDict):
    """``program`` is the key of the compiled filter in the cache, ``flags`` are seccomp(2)'s."""

    program: str
    flags: int

class StoredListener(TypedDict):
    """The socket of a seccomp agent, and what it is told beside the container's state."""

    path: str
    metadata: str
