"""Names of system calls that nobody knows, and what was probably meant (cold path).

A filter leaves such names out: profiles name calls of kernels to come and of other architectures.
So do typing errors, and then a rule that somebody relies on is not there.
"""

from __future__ import annotations

from ociruntime.errors import OciError
from ociruntime.similar import distance, nearest
from ociruntime.spec.newercalls import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from ociruntime.kernel.libseccomp import Library

# Names that begin so belong to one architecture, and may be younger than what we know of it.
ARCHITECTURES = (
    "arm_",
    "arc_",
    "csky_",
    "mips_",
    "or1k_",
    "ppc_",
    "riscv_",
    "s390_",
    "spu_",
    "sys_",
)
# A word that is further away is another word.
MOST_SLIPS = 2


def known_names(library: Library) -> frozenset[str]:
    """Every name that libseccomp or we know, of whatever architecture."""
    return frozenset(library.names()) | NUMBERS.keys()


def probably_meant(name: str, known: AbstractSet[str]) -> str:
    """The name that ``name``, which is not in ``known``, was probably meant to be; "" for none.

    A name that is made of a known one as kernels make new ones (clone3, fchmodat2, execveat) is
    taken for a call that is younger than what we know.
    """
    stem = name.rstrip("0123456789_")
    if name.startswith(ARCHITECTURES) or stem in known or stem.removesuffix("at") in known:
        return ""
    if stem != name and any(other.rstrip("0123456789_") == stem for other in known):
        return ""
    found = nearest(name, sorted(known))
    return found if distance(name.lower(), found, MOST_SLIPS + 1) <= MOST_SLIPS else ""


def misspelt(names: list[tuple[str, str]]) -> list[tuple[str, str, str]]:
    """Of (place, name) those that are typing errors, with what was probably meant; none where
    libseccomp cannot be loaded.
    """
    try:
        from ociruntime.kernel.libseccomp import Library

        known = known_names(Library())
    except OciError:
        return []
    unknown = {name: probably_meant(name, known) for _, name in names if name not in known}
    return [(place, name, unknown[name]) for place, name in names if unknown.get(name)]
